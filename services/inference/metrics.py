"""What an inference worker counts."""

from collections.abc import Awaitable
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

Result = TypeVar("Result")

ROWS = Counter("prelabel_rows_total", "Data rows with an outcome stored by this worker", ["outcome"])
BATCH_ROWS = Histogram(
    "prelabel_batch_rows", "Data rows in a call to Triton", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
STAGE_SECONDS = Histogram("prelabel_stage_seconds", "Time a batch spends in a stage", ["stage"])
RETRIES = Counter("prelabel_retries_total", "Calls repeated because a part was away")
SEGMENTS_HELD = Gauge("prelabel_segments_held", "Segments this worker has leased")
TAKEOVERS = Counter("prelabel_lease_takeovers_total", "Segments taken over from a worker that went silent")
SHARES_MEMORY = Gauge(
    "prelabel_triton_shares_memory", "1 while tensors go to this server through shared memory, 0 over gRPC", ["address"]
)
LEASES_LOST = Counter("prelabel_leases_lost_total", "Segments this worker lost before it was done")


async def timed(stage: str, work: Awaitable[Result]) -> Result:
    with STAGE_SECONDS.labels(stage).time():
        return await work
