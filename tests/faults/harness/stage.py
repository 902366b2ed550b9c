"""A project with texts, and what a user does with it. Every answer is in the history of its round."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from deploy.local.demo.client import Gateway, Json
from shared.contracts.events import TERMINAL_STATES
from tests.support.stack import Frontend
from tests.support.texts import configuration, set_up_texts


@dataclass(frozen=True)
class Stage:
    """`wanted` is a run of the model over all rows."""

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
        return await self._verb(run_id, "cancel", results=results)

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
            while (found := await self.run(run_id))["done"] < rows and found["state"] not in TERMINAL_STATES:
                await asyncio.sleep(0.03)
        return found

    async def ended(self, run_id: str, seconds: float = 120) -> Json:
        return await self.until(run_id, *TERMINAL_STATES, seconds=seconds)

    async def outcomes(self, run_id: str) -> list[Json]:
        """Of all its rows."""
        return [one async for one in self.frontend.gateway.pages(f"/v1/model-runs/{run_id}/outcomes")]

    async def _verb(self, run_id: str, verb: str, **body: str) -> Json:
        return await self.frontend.gateway.post(f"/v1/model-runs/{run_id}/{verb}", body)


async def make_stage(gateway: Gateway, texts: Iterable[str], slug: str) -> Stage:
    async with asyncio.timeout(60):
        while not await _is_ready(gateway, slug):
            await asyncio.sleep(0.1)
    frontend = await set_up_texts(gateway, texts)
    return Stage(frontend, await configuration(frontend, slug))


async def _is_ready(gateway: Gateway, slug: str) -> bool:
    states = {model["slug"]: model["state"] async for model in gateway.pages("/v1/models")}
    return bool(states[slug] == "ready")
