"""Counts and times of requests. A registry of its own for each app, so that two in one process do not collide."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class HttpMetrics:
    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        labels = ("method", "route")
        self._requests = Counter(
            "prelabel_api_requests", "Requests answered", (*labels, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "prelabel_api_request_seconds",
            "Time from the first byte of a request to the last of its answer",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge("prelabel_api_in_flight", "Requests this process is working on", registry=self.registry)
        self.refused = Counter(
            "prelabel_api_refused",
            "Requests refused unread since too many were under way",
            ["reason"],
            registry=self.registry,
        )
        for reason in ("overloaded", "too_many_in_flight"):
            self.refused.labels(reason)

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
