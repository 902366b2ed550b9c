"""Workers in this process, on real PostgreSQL, with the real Triton or a model that answers as a test wants it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import numpy as np

from services.inference.failures import ModelAway
from services.inference.inputs.content import ContentReader
from services.inference.machinery import Machinery
from services.inference.reports import ModelState
from services.inference.settings import InferenceSettings
from services.inference.shared_memory import SharedMemory
from services.inference.tensors import Array
from services.inference.triton import Triton
from services.inference.worker import Worker
from shared.database.engine import Sessions
from shared.egress import Egress
from shared.hints import Hints
from shared.model_card import BuiltModel, ModelCard
from shared.queue import JobQueue
from shared.signals import Signals
from tests.support.cards import built, card
from tests.support.world import World

MODEL: BuiltModel = built(
    card(
        "tells-parity",
        "classification",
        ["even", "odd"],
        media_type="text",
        task="text_classification",
        inputs=[{"name": "text", "datatype": "BYTES", "shape": [1]}],
        outputs=[{"name": "probabilities", "datatype": "FP32", "shape": [2]}],
        max_batch_size=16,
        preprocessing={"kind": "plain_text"},
        decoder={"name": "classification", "parameters": {"scores": "probabilities"}},
    )
)
"""Reads texts that are numbers and says `even` or `odd` of each with 0.9."""

Numbers = Sequence[int]
Behaviour = Callable[[Numbers], Awaitable[Array | None]]


async def _answers(numbers: Numbers) -> None:
    """As the model does when nothing is wrong."""
    del numbers


class FakeTriton:
    """Has the methods of `services.inference.triton.Triton`. `behaviour` sees each batch first: it may wait, raise what
    Triton raises, or give other probabilities than the right ones."""

    memory = None

    def __init__(self, behaviour: Behaviour = _answers) -> None:
        self.behaviour = behaviour
        self.calls: list[tuple[int, ...]] = []
        self.state = ("READY", "")
        self.loads = 0
        self.unanswered = 0

    async def infer(self, model: str, card: ModelCard, inputs: Mapping[str, Array]) -> dict[str, Array]:
        assert model == MODEL.triton_name
        numbers = tuple(int(bytes(row[0])) for row in inputs[card.inputs[0].name])
        assert 0 < len(numbers) <= card.max_batch_size
        self.calls.append(numbers)
        self.unanswered += 1
        given = await self.behaviour(numbers)
        self.unanswered -= 1
        return {"probabilities": right(numbers) if given is None else given}

    async def digest(self, model: str) -> str | None:
        if self.state[0] != "READY":
            raise ModelAway(f"{model} is not ready")
        return MODEL.digest

    async def instances(self, model: str) -> int:
        assert model == MODEL.triton_name
        return 2

    async def states(self) -> dict[str, ModelState]:
        return {MODEL.triton_name: ModelState(*self.state, answered=len(self.calls) - self.unanswered)}

    async def load(self, model: str) -> None:
        assert model == MODEL.triton_name
        self.loads += 1

    async def reload(self, model: str) -> None:
        await self.load(model)

    async def close(self) -> None:
        return


def right(numbers: Numbers) -> Array:
    """The probabilities of `even` and `odd`."""
    return np.array([[0.1, 0.9] if number % 2 else [0.9, 0.1] for number in numbers], np.float32)


def model_class(number: int) -> str:
    return "odd" if number % 2 else "even"


async def add_numbers(world: World, count: int) -> list[UUID]:
    """A data row for each number from 0 on."""
    return [await world.add_text(f"row-{number}", str(number)) for number in range(count)]


async def submit_numbers(world: World, count: int, segment_size: int = 32) -> tuple[UUID, list[UUID]]:
    """A queued run over so many new rows, and the rows."""
    rows = await add_numbers(world, count)
    return await world.start_run(MODEL, await world.add_model(MODEL), rows, segment_size=segment_size), rows


def make_signals() -> Signals:
    redis_url = InferenceSettings().redis_url.get_secret_value()
    return Signals(JobQueue(redis_url), Hints(redis_url))


class RunningWorker:
    """A worker as its process runs it, without the doorbell: it finds the work by looking."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._lanes = asyncio.create_task(worker.work())
        self._helpers = [
            asyncio.create_task(helper)
            for helper in (worker.beat(), worker.keeper.keep(), worker.names.keep(), worker.report_speed())
        ]

    async def stop(self) -> None:
        """As on SIGTERM: the batches under way end, the rest is given back."""
        self.worker.stop()
        await asyncio.wait({self._lanes}, timeout=20)
        failed = self._lanes.exception() if self._lanes.done() and not self._lanes.cancelled() else None
        await self.kill()
        if failed is not None:
            raise failed

    async def kill(self) -> None:
        """From one moment to the next; nothing is given back."""
        tasks = [self._lanes, *self._helpers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def works(self) -> bool:
        return not self._lanes.done()


@asynccontextmanager
async def working(
    world: World, model: FakeTriton | None = None, sessions: Sessions | None = None, **changed: Any
) -> AsyncIterator[RunningWorker]:
    """With the real Triton when no model is given. Other settings by name, such as `inference_lanes`."""
    settings = InferenceSettings(**{"inference_poll_seconds": 0.05, **changed})
    signals, egress = make_signals(), Egress(settings)
    memory = None if model else SharedMemory(settings.inference_shared_memory_bytes)
    triton = cast(Triton, model or Triton(settings.triton_url, settings.inference_deadline_seconds, memory=memory))
    with ThreadPoolExecutor(2) as threads:
        reader = ContentReader(world.store, egress)
        running = RunningWorker(
            Worker(
                Machinery(settings, sessions or world.sessions, world.store, reader, triton, threads, memory), signals
            )
        )
        try:
            yield running
        finally:
            await running.stop()
            # Also when the test failed: what stays open would fail another one.
            await asyncio.gather(triton.close(), egress.close(), signals.close())
            if memory is not None:
                memory.close()


async def until_ended(world: World, run_id: UUID, seconds: float = 30) -> str:
    """Its last state."""
    async with asyncio.timeout(seconds):
        while (run := await world.run(run_id)).finished_at is None:
            await asyncio.sleep(0.02)
    return run.state
