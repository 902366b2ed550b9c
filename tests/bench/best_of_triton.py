"""What the bare server gives for a model and its batches, as an anchor: the best rate over some concurrencies.

By perf_analyzer; where that cannot run, by a loop of our own that sends the same batch again and again.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.inference.tensors import Array
from services.inference.triton import Triton
from shared.model_card import BuiltModel
from tests.bench.perf_analyzer import Load, PerfAnalyzer, perf_analyzer

CONCURRENCIES = (1, 2, 4, 8, 16)


@dataclass
class BestOfTriton:
    """`tensors`: one batch. With `shared_memory` perf_analyzer hands tensors over as ours does."""

    url: str
    built: BuiltModel
    tensors: Mapping[str, Array]
    requests: int
    shared_memory: bool = False
    concurrency: int | None = field(default=None, init=False)

    @property
    def batch(self) -> int:
        return len(next(iter(self.tensors.values())))

    async def rate(self) -> float:
        """Rows a second at the best concurrency, which the first call finds."""
        if self.concurrency is None:
            rates = {count: await self._rate(count) for count in CONCURRENCIES}
            self.concurrency = max(CONCURRENCIES, key=rates.__getitem__)
            found = ", ".join(f"{rate:.0f}/s at {count}" for count, rate in rates.items())
            sys.stderr.write(f"  {self.name}: {found}\n")
        return await self._rate(self.concurrency)

    @property
    def name(self) -> str:
        return "perf_analyzer" if perf_analyzer() else "a bare loop"

    @property
    def description(self) -> str:
        memory = "system shared memory" if self.shared_memory and perf_analyzer() else "tensors in the messages"
        best = f"{self.concurrency} in flight, the best of {', '.join(map(str, CONCURRENCIES))}"
        return f"{self.name}: gRPC, {memory}, batches of {self.batch}, {best}"

    async def _rate(self, concurrency: int) -> float:
        found = perf_analyzer()
        return await (self._analyzed(found, concurrency) if found else self._looped(concurrency))

    async def _analyzed(self, found: PerfAnalyzer, concurrency: int) -> float:
        row = {name: array[0] for name, array in self.tensors.items()}
        load = Load(self.url, self.built.triton_name, self.batch, row, self.shared_memory)
        return await found.rate(load, concurrency, self.requests)

    async def _looped(self, concurrency: int) -> float:
        triton = Triton(self.url, 60)
        seconds = await loop_seconds(triton, self.built, self.tensors, self.requests, concurrency)
        await triton.close()
        return self.requests * self.batch / seconds


async def loop_seconds(
    triton: Triton, built: BuiltModel, tensors: Mapping[str, Array], requests: int, concurrency: int
) -> float:
    """Of so many requests with one batch, so many in flight."""
    places = asyncio.Semaphore(concurrency)

    async def call() -> None:
        async with places:
            await triton.infer(built.triton_name, built.card, tensors)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(requests)))
    return time.perf_counter() - began
