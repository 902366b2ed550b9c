"""The only module that knows OpenTelemetry. Spans leave by a thread of its own and are dropped while nobody takes them.

What the SDK reads from the environment holds here too: `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`, …
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.tracing import Attribute, Kind, Wanted
from shared.version import VERSION

_HEADER = "traceparent"
_EXPORT_SECONDS = 5
_KINDS: Mapping[Kind, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}
_propagator = TraceContextTextMapPropagator()


def open_traces(endpoint: str, service: str) -> "OtlpTraces":
    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.namespace": "prelabel",
                "service.name": f"prelabel-{service}",
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
                "service.version": VERSION,
            }
        )
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OtlpTraces(provider)


class _Open:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: Attribute) -> None:
        self._span.set_attributes(_named(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)


class OtlpTraces:
    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("prelabel")

    @contextmanager
    def span(self, wanted: Wanted) -> Iterator[_Open]:
        parent = None if wanted.parent is None else _propagator.extract({_HEADER: wanted.parent}, context.Context())
        with self._tracer.start_as_current_span(
            wanted.name, context=parent, kind=_KINDS[wanted.kind], attributes=_named(wanted.attributes)
        ) as opened:
            yield _Open(opened)

    @contextmanager
    def unseen(self) -> Iterator[_Open]:
        here = trace.get_current_span().get_span_context()
        # A parent that is not sampled: whoever comes below, Triton too, leaves it at that.
        hidden = trace.SpanContext(here.trace_id, here.span_id, is_remote=False, trace_flags=trace.TraceFlags(0))
        with trace.use_span(trace.NonRecordingSpan(hidden), record_exception=False) as span:
            yield _Open(span)

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get(_HEADER)

    def ids(self) -> Mapping[str, str]:
        here = trace.get_current_span().get_span_context()
        if not here.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(here.trace_id), "span_id": trace.format_span_id(here.span_id)}

    def close(self) -> None:
        self._provider.shutdown()


def _named(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """`http__route` stands for `http.route`, which is no name in Python."""
    return {name.replace("__", "."): value for name, value in attributes.items()}
