"""Models of one's own through the front door: the api over ASGI, and a worker that registers on the real Triton."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from services.inference.inputs.content import ContentReader
from services.inference.machinery import Machinery
from services.inference.registration.register import Registrar
from services.inference.settings import InferenceSettings
from services.inference.triton import Triton
from services.inference.worker import Worker
from shared.egress import Egress
from shared.model_card import triton_name
from tests.support.api import Api, Workspace
from tests.support.onnx_models import color_card, color_teller
from tests.support.operations import RunningOperations, operating
from tests.support.workers import RunningWorker

Json = dict[str, Any]
_ENDED = {"succeeded", "failed", "cancelled"}


@dataclass(frozen=True)
class Shop:
    """A workspace that brings models, as its client sees it."""

    api: Api
    workspace: Workspace
    client: httpx2.AsyncClient

    async def bring(
        self, card: Any = None, model: bytes | None = None, beside: Mapping[str, bytes] | None = None
    ) -> httpx2.Response:
        form: list[tuple[str, Any]] = [
            ("card", (None, json.dumps(color_card() if card is None else card))),
            ("model", ("model.onnx", color_teller() if model is None else model)),
        ]
        form += [(name, (f"{name}.txt", content)) for name, content in (beside or {}).items()]
        return await self.client.post("/v1/models", files=form)

    async def bring_from(self, address: str, model: Json, card: Any = None, **more: Any) -> httpx2.Response:
        """A model that `address` serves already under its name in Triton."""
        body = {"card": color_card() if card is None else card, "address": address, "model": model["triton_model"]}
        return await self.client.post("/v1/models/external", json={**body, **more})

    async def settled(self, answer: httpx2.Response, seconds: float = 60) -> tuple[Json, Json]:
        """The operation once it has ended, and the model."""
        assert answer.status_code == 202, answer.text
        found = answer.json()
        assert answer.headers["location"] == f"/v1/operations/{found['operation_id']}"
        async with asyncio.timeout(seconds):
            while (operation := await self.get(answer.headers["location"]))["state"] not in _ENDED:
                await asyncio.sleep(0.05)
        return operation, await self.get(f"/v1/models/{found['model']['id']}")

    async def ready(self, answer: httpx2.Response) -> Json:
        operation, model = await self.settled(answer)
        assert (operation["state"], model["state"]) == ("succeeded", "ready"), operation
        return model

    async def refused(self, answer: httpx2.Response) -> Json:
        """The problem that its operation ended with."""
        operation, model = await self.settled(answer)
        assert (operation["state"], model["state"]) == ("failed", "failed"), operation
        problem: Json = operation["problem"]
        assert model["state_reason"] == problem["detail"]
        return problem

    async def get(self, path: str, **query: Any) -> Json:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def until_state(self, model: Json, state: str, seconds: float = 20) -> Json:
        async with asyncio.timeout(seconds):
            while (found := await self.get(f"/v1/models/{model['id']}"))["state"] != state:
                await asyncio.sleep(0.05)
        return found


@dataclass(frozen=True)
class Registry:
    """A worker with all that an inference process runs."""

    machinery: Machinery
    worker: RunningWorker
    operations: RunningOperations


@asynccontextmanager
async def registering(api: Api, **changed: Any) -> AsyncIterator[Registry]:
    settings = InferenceSettings(**{"inference_poll_seconds": 0.05, "operations_poll_seconds": 0.05, **changed})
    resources, egress = api.resources, Egress(settings)
    triton = Triton(settings.triton_url, settings.inference_deadline_seconds)
    with ThreadPoolExecutor(2) as threads:
        reader = ContentReader(resources.store, egress)
        machinery = Machinery(settings, resources.sessions, resources.store, reader, triton, threads)
        running = RunningWorker(Worker(machinery, resources.signals))
        registrar = Registrar(machinery, running.worker.models, running.worker.keeper.replicas)
        lanes: dict[str, Any] = {"operations_poll_seconds": 0.05, "operations_heartbeat_seconds": 0.5}
        try:
            async with operating(resources.sessions, resources.signals, registrar.handlers, **lanes) as operations:
                yield Registry(machinery, running, operations)
        finally:
            await running.stop()
    await asyncio.gather(machinery.servers.close(), triton.close(), egress.close())


def stored(folder: Path) -> list[str]:
    """What lies in the object store."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def loaded(triton_url: str, model: Json) -> bool:
    triton = Triton(triton_url, 10)
    try:
        return triton_name(model["slug"], model["digest"]) in await triton.states()
    finally:
        await triton.close()
