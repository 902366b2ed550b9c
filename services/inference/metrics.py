"""What an inference worker counts. docs/operations/metrics.md lists it all."""

from collections.abc import Awaitable, Iterable
from contextlib import nullcontext
from functools import cache
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

from shared.tracing import span

Result = TypeVar("Result")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_MOST_CODES = 60
_OF_A_BATCH = frozenset({"wait", "infer", "decode", "store", "reuse"})

ROWS = Counter("prelabel_inference_rows_total", "Data rows with an outcome stored by this worker", ["outcome"])
FAILED_ROWS = Counter(
    "prelabel_inference_failed_rows_total", "Data rows stored as failed, by where and why", ["stage", "code"]
)
BATCH_ROWS = Histogram(
    "prelabel_inference_batch_rows", "Data rows in a call to Triton", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
STAGE_SECONDS = Histogram(
    "prelabel_inference_stage_seconds",
    "Time in a stage: of a row in fetch, of a batch in the others",
    ["stage"],
    buckets=_SECONDS,
)
IN_STAGE = Gauge("prelabel_inference_in_stage", "Rows in fetch, batches in the other stages, at this moment", ["stage"])
RETRIES = Counter("prelabel_inference_retries_total", "Calls repeated because a part was away")
SEGMENTS_HELD = Gauge("prelabel_inference_segments_held", "Segments this worker has leased")
TAKEOVERS = Counter("prelabel_inference_lease_takeovers_total", "Segments taken over from a worker that went silent")
LEASES_LOST = Counter("prelabel_inference_leases_lost_total", "Segments this worker lost before it was done")
SHARES_MEMORY = Gauge(
    "prelabel_inference_shares_memory",
    "1 while tensors go to this server through shared memory, 0 over gRPC",
    ["address"],
)
RUNS = Gauge("prelabel_inference_runs", "Open runs or previews, whoever works on them", ["purpose", "state"])
ROWS_TO_DO = Gauge(
    "prelabel_inference_rows_to_do", "Data rows of open runs that no ended segment has done", ["purpose"]
)
OPEN_SEGMENTS = Gauge("prelabel_inference_open_segments", "Segments of open runs that no worker holds", ["purpose"])
QUEUE_AGE = Gauge(
    "prelabel_inference_queue_age_seconds",
    "Of the run that could go on and was served longest ago: time since then, or since its submit",
    ["purpose"],
)

_codes: set[tuple[str, str]] = set()


async def timed(stage: str, work: Awaitable[Result]) -> Result:
    traced = span(stage, kind="client" if stage == "infer" else "internal") if stage in _OF_A_BATCH else nullcontext()
    seconds, at_work = _of_stage(stage)
    with seconds.time(), at_work.track_inprogress(), traced:
        return await work


@cache
def _of_stage(stage: str) -> tuple[Histogram, Gauge]:
    """Looked up once: it takes longer than the counting."""
    return STAGE_SECONDS.labels(stage), IN_STAGE.labels(stage)


def count_failed(reasons: Iterable[tuple[str, str]]) -> None:
    """Stage and code of each. Codes are few and ours; should they ever not be, the rest counts as `other`."""
    for reason in reasons:
        if len(_codes) < _MOST_CODES:
            _codes.add(reason)
        FAILED_ROWS.labels(*(reason if reason in _codes else (reason[0], "other"))).inc()
