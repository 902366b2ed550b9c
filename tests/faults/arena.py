"""A world as cells need it: two workers, models that take their time, and a Triton in between that can lie.

`sleeps-steady` and `sleeps-changing` are served by Triton; `sleeps-elsewhere` is the first of them by way of the
faulty one, registered as a model on a server of others.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.demo.client import Gateway
from shared.model_card import BuiltModel
from tests.faults.harness.world import World, WorldOptions, opened_world
from tests.support.faulty_triton import FaultyTriton
from tests.support.stand_ins import model_store, sleeps
from tests.support.world import built_models

STEADY, CHANGING, ELSEWHERE = "sleeps-steady", "sleeps-changing", "sleeps-elsewhere"
DEADLINE_SECONDS = 3.0
"""Of calls to Triton: a tenth of the usual one, since cells wait for it."""
WORKERS = ("inference-1", "inference-2")
_ENDED = {"succeeded", "failed", "cancelled"}
_BATCH_MS, _ROW_MS, _MAX_BATCH = 20.0, 8.0, 8


@dataclass(frozen=True)
class Arena:
    """`models` by their slugs."""

    world: World
    faulty: FaultyTriton
    models: Mapping[str, BuiltModel]

    async def register(self, gateway: Gateway) -> None:
        """`sleeps-elsewhere`, for the workspace of this key."""
        built = self.models[STEADY]
        card = built.card.model_copy(update={"slug": ELSEWHERE, "name": "By way of a faulty Triton"})
        wanted = {"card": card.model_dump(mode="json"), "address": self.faulty.address, "model": built.triton_name}
        answer = await gateway.post("/v1/models/external", wanted)
        async with asyncio.timeout(60):
            while (operation := await gateway.get(f"/v1/operations/{answer['operation_id']}"))["state"] not in _ENDED:
                await asyncio.sleep(0.05)
        if operation["state"] != "succeeded":
            raise RuntimeError(f"the model by way of the faulty Triton: {operation['problem']}")

    async def until_quiet(self) -> None:
        """Every service runs and answers."""
        for name in self.world.processes.names():
            await self.world.processes.until_ready(name)


@asynccontextmanager
async def opened_arena(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Arena]:
    stand_ins = [
        sleeps(batch_ms=_BATCH_MS, row_ms=_ROW_MS, slug=slug, max_batch=_MAX_BATCH, hangs=slug == STEADY)
        for slug in (STEADY, CHANGING)
    ]
    store = model_store(folder / "models", stand_ins)
    models = built_models(store)
    async with FaultyTriton() as faulty:
        changed = {
            "INFERENCE_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
            "ALLOWED_INFERENCE_ADDRESSES": json.dumps([faulty.address]),
            "LOG_LEVEL": "WARNING",
            **settings,
        }
        options = WorldOptions(store, changed, services=("api", "notifier", *WORKERS))
        async with opened_world(folder, options) as world:
            faulty.connect(world.addresses.triton_url)
            yield Arena(world, faulty, models)
