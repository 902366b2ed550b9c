"""Pictures go to Triton through shared memory: a restart of either side costs no row and leaves nothing behind."""

import asyncio
from itertools import cycle, islice

import httpx2
import pytest

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json
from services.inference.shared_memory import FOLDER, PREFIX
from tests.support.servers import PICTURES
from tests.support.stack import Frontend, set_up, until_ended

_ONTOLOGY: Json = {"tools": [{"type": "bounding_box", "name": "Person"}, {"type": "bounding_box", "name": "Cat"}]}
_ROWS = 90


@pytest.fixture
async def frontend(gateway: Gateway) -> Frontend:
    pictures = [(PICTURES / name).read_bytes() for name in ("astronaut.png", "chelsea.png", "coffee.png")]
    return await set_up(gateway, _ONTOLOGY, [(f"{n}.png", one) for n, one in enumerate(islice(cycle(pictures), _ROWS))])


async def _under_way(frontend: Frontend) -> Json:
    """A run that has stored some rows, and not all."""
    async with asyncio.timeout(60):
        while (model := await frontend.model("object_detection"))["state"] != "ready":
            await asyncio.sleep(0.2)
    wanted = {**await frontend.wanted(model, 0.5), "reuse": False}
    run = await frontend.gateway.post(f"{frontend.path}/model-runs", wanted)
    async with asyncio.timeout(60):
        while (found := await frontend.gateway.get(f"/v1/model-runs/{run['id']}"))["done"] < 20:
            await asyncio.sleep(0.05)
    assert found["done"] < _ROWS, "it is over already"
    return found


async def _completes(frontend: Frontend, run: Json) -> None:
    found = await until_ended(frontend.gateway, f"/v1/model-runs/{run['id']}")
    assert (found["state"], found["succeeded"], found["failed"]) == ("completed", _ROWS, 0)


async def test_memory_is_shared_again_when_triton_is_back(stack: StackProcess, frontend: Frontend) -> None:
    run = await _under_way(frontend)
    before = stack.status().services["triton"].restarts
    stack.kill("triton")
    await asyncio.to_thread(stack.wait_until_ready, "triton", restarts=before + 1)
    await _completes(frontend, run)
    # A server that did not answer well while it started is asked again after a minute.
    async with asyncio.timeout(100):
        while not await _shares_memory(stack):
            await _completes(frontend, await _under_way(frontend))


async def _shares_memory(stack: StackProcess) -> bool:
    async with httpx2.AsyncClient(trust_env=False) as client:
        said = (await client.get(f"{stack.addresses.inference_metrics_url}/metrics")).text
    return f'prelabel_inference_shares_memory{{address="{stack.addresses.triton_url}"}} 1.0' in said


async def test_a_killed_worker_leaves_its_memory_to_be_swept(stack: StackProcess, frontend: Frontend) -> None:
    run = await _under_way(frontend)
    service = stack.status().services["inference"]
    assert service.process is not None
    left = f"{PREFIX}{service.process.pid}-*"
    assert list(FOLDER.glob(left))
    stack.kill("inference")
    await asyncio.to_thread(stack.wait_until_ready, "inference", restarts=service.restarts + 1)
    assert not list(FOLDER.glob(left))
    await _completes(frontend, run)
