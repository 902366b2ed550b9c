"""The whole stack as processes, on free ports and a state folder of its own, and a frontend's first steps with it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import httpx2
import pytest

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json
from deploy.local.stack import ROOT, StackOptions


@pytest.fixture(scope="session")
def stack() -> Iterator[StackProcess]:
    """One for the session: tests that kill parts of it leave it running."""
    state = ROOT / "var" / "test" / f"stack-{os.getpid()}"
    with StackProcess(StackOptions(state=state, free_ports=True)) as started:
        yield started
    started.remove()


@pytest.fixture
async def gateway(stack: StackProcess) -> AsyncIterator[Gateway]:
    found = Gateway(stack.addresses.api_url, stack.api_key)
    yield found
    await found.close()


async def until_ended(gateway: Gateway, path: str, seconds: float = 120) -> Json:
    """A run or a preview in its last state, by looking."""
    async with asyncio.timeout(seconds):
        while (found := await gateway.get(path))["finished_at"] is None:
            await asyncio.sleep(0.05)
    return found


async def inferences(stack: StackProcess) -> dict[str, int]:
    """How many each model has made since Triton's start, by Triton's own statistics."""
    assert stack.addresses.triton_http_url is not None
    async with httpx2.AsyncClient(base_url=stack.addresses.triton_http_url, trust_env=False) as client:
        found = (await client.get("/v2/models/stats")).json()["model_stats"]
    return {one["name"]: int(one["inference_count"]) for one in found}


@dataclass(frozen=True)
class Frontend:
    """A project that is ready for model-assisted labeling."""

    gateway: Gateway
    project_id: str

    @property
    def path(self) -> str:
        return f"/v1/projects/{self.project_id}"

    async def model(self, task: str) -> Json:
        """The best ranked model of a task."""
        async for entry in self.gateway.pages(f"{self.path}/models"):
            if entry["task"] == task:
                return entry
        raise LookupError(f"no model for {task}")

    async def wanted(self, model: Json, threshold: float) -> Json:
        """A run's configuration: the suggested alignment, with one threshold for all."""
        suggested = await self.gateway.get(f"{self.path}/models/{model['id']}/alignment")
        return {"model_id": model["id"], "threshold": threshold, "alignment": {"entries": suggested["entries"]}}


async def set_up(gateway: Gateway, ontology: Json, files: Sequence[tuple[str, bytes]]) -> Frontend:
    project = await gateway.post("/v1/projects", {"name": "test", "media_type": "image", "ontology": ontology})
    frontend = Frontend(gateway, project["id"])
    for start in range(0, len(files), 50):
        await gateway.upload(f"{frontend.path}/data-rows/upload", files[start : start + 50])
    await gateway.post(f"{frontend.path}/batches", {"name": "all", "all": True})
    return frontend
