"""How many rows a second, and how much of the processor a row costs Triton, at batch 1 and 8, one call at a time."""

import statistics
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from shared.model_card import ModelCard
from tests.bench.measure import cpu_seconds
from tests.bench.model_quality.served import Bench, Figure, prepared
from tests.support.servers import PICTURES, TEXTS

_SECONDS, _TURNS = 2.0, 3
_BATCHES = (1, 8)
_TEXT = "wine.txt"  # 230 characters


async def measure(bench: Bench, slug: str) -> Figure:
    built = bench.model(slug)
    contents = _contents(built.card)
    served = await bench.served(slug, {"any": "This text is about anything."} if built.card.open_ended else None)
    numbers: dict[str, float] = {}
    for size in sorted({min(size, built.card.max_batch_size) for size in _BATCHES}):
        (batch,) = prepared(served, list(islice(cycle(contents), size)))
        turns = [await _turn(bench, slug, dict(batch.tensors), size) for _ in range(_TURNS)]
        numbers[f"rows_per_second_at_{size}"] = round(statistics.median(rate for rate, _ in turns), 1)
        numbers[f"cpu_ms_a_row_at_{size}"] = round(min(cost for _, cost in turns), 2)
    return Figure(
        slug,
        ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in numbers.items()),
        f"tensors decoded before, one call at a time for {_SECONDS:.0f} s, {_TURNS} times: median rate, lowest cost",
        numbers,
    )


def _contents(card: ModelCard) -> Sequence[bytes]:
    """All pictures, or one text: those of other lengths make other batches."""
    if card.media_type == "image":
        return [path.read_bytes() for path in sorted(PICTURES.iterdir())]
    return [(TEXTS / _TEXT).read_bytes()]


async def _turn(bench: Bench, slug: str, tensors: dict[str, object], size: int) -> tuple[float, float]:
    """Rows a second, and CPU milliseconds a row of Triton with its models' processes."""
    built, rows = bench.model(slug), 0
    began, before = time.perf_counter(), _family_cpu(bench.triton_pid)
    while time.perf_counter() - began < _SECONDS:
        await bench.triton.infer(built.triton_name, built.card, tensors)  # type: ignore[arg-type]
        rows += size
    took, cost = time.perf_counter() - began, _family_cpu(bench.triton_pid) - before
    return rows / took, cost / rows * 1000


def _family_cpu(pid: int) -> float:
    """Of a process and those that it started."""
    total = cpu_seconds(pid)
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        total += sum(_family_cpu(int(child)) for child in children.read_text().split())
    return total
