"""A worker is killed while it registers a model, and Triton while it serves one: the model is ready once, and again."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from deploy.local.control import StackProcess
from tests.support.onnx_models import color_card, color_teller
from tests.support.own_models import Json

_ENDED = {"succeeded", "failed", "cancelled"}


@pytest.fixture
async def client(stack: StackProcess) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    async with httpx2.AsyncClient(base_url=stack.addresses.api_url, headers=headers, timeout=30) as found:
        yield found


async def test_a_registration_survives_its_worker_and_a_model_its_triton(
    stack: StackProcess, client: httpx2.AsyncClient
) -> None:
    form: list[tuple[str, Any]] = [
        ("card", (None, json.dumps(color_card()))),
        ("model", ("model.onnx", color_teller())),
    ]
    answer = await client.post("/v1/models", files=form)
    path, model = answer.headers["location"], answer.json()["model"]["id"]

    async def operation() -> Json:
        found: Json = (await client.get(path)).json()
        return found

    async def state() -> str:
        return str((await client.get(f"/v1/models/{model}")).json()["state"])

    async with asyncio.timeout(60):
        while (await operation())["progress"]["stage"] != "loading":
            await asyncio.sleep(0.02)
    stack.kill("inference")
    async with asyncio.timeout(90):
        while (await operation())["state"] not in _ENDED:
            await asyncio.sleep(0.1)
    assert ((await operation())["state"], await state()) == ("succeeded", "ready")

    before = stack.status().services["triton"].restarts
    stack.kill("triton")
    async with asyncio.timeout(30):
        while await state() == "ready":
            await asyncio.sleep(0.05)
    await asyncio.to_thread(stack.wait_until_ready, "triton", restarts=before + 1)
    async with asyncio.timeout(30):
        while await state() != "ready":
            await asyncio.sleep(0.1)
    notes = (await client.get("/v1/notifications")).json()["items"]
    told = Counter(note["type"] for note in notes if note["subject"]["id"] in (model, path.rpartition("/")[2]))
    assert told == {"operation.succeeded": 1, "model.ready": 1}
    assert (await client.delete(f"/v1/models/{model}")).status_code == 204
