"""A project with texts, and what a user does with it. Every answer is in the history of its world."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local.demo.client import Json
from tests.support.stack import Frontend
from tests.support.texts import configuration, set_up_texts

if TYPE_CHECKING:
    from tests.faults.harness.world import World

TERMINAL = ("completed", "completed_with_errors", "cancelled", "failed")


@dataclass(frozen=True)
class Stage:
    """`wanted` is a run of the model over all rows."""

    world: "World"
    frontend: Frontend
    wanted: Json

    @property
    def project_id(self) -> str:
        return self.frontend.project_id

    @property
    def topic(self) -> str:
        return f"project:{self.project_id}"

    async def submit(self, **changes: object) -> str:
        """The id of the run."""
        run = await self.frontend.gateway.post(f"{self.frontend.path}/model-runs", {**self.wanted, **changes})
        return str(run["id"])

    async def cancel(self, run_id: str, results: str = "keep") -> Json:
        return await self._verb(run_id, "cancel", {"results": results})

    async def pause(self, run_id: str) -> Json:
        return await self._verb(run_id, "pause")

    async def resume(self, run_id: str) -> Json:
        return await self._verb(run_id, "resume")

    async def retry_failed(self, run_id: str) -> Json:
        return await self._verb(run_id, "retry-failed")

    async def run(self, run_id: str) -> Json:
        return await self.frontend.gateway.get(f"/v1/model-runs/{run_id}")

    async def until(self, run_id: str, *states: str, seconds: float = 120) -> Json:
        async with asyncio.timeout(seconds):
            while (found := await self.run(run_id))["state"] not in states:
                await asyncio.sleep(0.1)
        return found

    async def until_done(self, run_id: str, rows: int, seconds: float = 60) -> Json:
        """Until so many rows have an outcome, or the run has ended."""
        async with asyncio.timeout(seconds):
            while (found := await self.run(run_id))["done"] < rows and found["state"] not in TERMINAL:
                await asyncio.sleep(0.03)
        return found

    async def ended(self, run_id: str, seconds: float = 120) -> Json:
        return await self.until(run_id, *TERMINAL, seconds=seconds)

    async def _verb(self, run_id: str, verb: str, body: Json | None = None) -> Json:
        return await self.frontend.gateway.post(f"/v1/model-runs/{run_id}/{verb}", body or {})


async def make_stage(world: "World", texts: Iterable[str], slug: str) -> Stage:
    frontend = await set_up_texts(world.gateway, texts)
    return Stage(world, frontend, await configuration(frontend, slug))
