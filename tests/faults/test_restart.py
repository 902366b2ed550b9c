"""Everything is killed in the middle of a run and started again: the run completes with one outcome a data row."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, islice

import pytest

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json
from tests.support.servers import PICTURES
from tests.support.stack import Frontend, set_up

_ONTOLOGY: Json = {"tools": [{"type": "bounding_box", "name": "Person"}, {"type": "bounding_box", "name": "Cat"}]}
_ROWS = 90
_ENDED = {"completed", "completed_with_errors", "failed", "cancelled"}


@asynccontextmanager
async def _frontend(stack: StackProcess) -> AsyncIterator[Frontend]:
    gateway = Gateway(stack.addresses.api_url, stack.api_key)
    pictures = [(PICTURES / name).read_bytes() for name in ("astronaut.png", "chelsea.png", "coffee.png")]
    files = [(f"{index}.png", content) for index, content in enumerate(islice(cycle(pictures), _ROWS))]
    yield await set_up(gateway, _ONTOLOGY, files)
    await gateway.close()


async def _until(frontend: Frontend, run: Json, done: int) -> None:
    async with asyncio.timeout(60):
        while (found := await frontend.gateway.get(f"/v1/model-runs/{run['id']}"))["done"] < done:
            await asyncio.sleep(0.05)
    assert (found["state"], found["done"] < _ROWS) == ("running", True)


async def _ended(frontend: Frontend, run: Json) -> Json:
    async with asyncio.timeout(120):
        while True:
            found = await frontend.gateway.get(f"/v1/model-runs/{run['id']}")
            if found["state"] in _ENDED:
                return found
            await asyncio.sleep(0.2)


async def _check(frontend: Frontend, run: Json) -> None:
    found = await _ended(frontend, run)
    assert (found["state"], found["succeeded"], found["failed"], found["done"]) == ("completed", _ROWS, 0, _ROWS)
    outcomes = [one async for one in frontend.gateway.pages(f"/v1/model-runs/{run['id']}/outcomes")]
    assert len({one["data_row_id"] for one in outcomes}) == len(outcomes) == _ROWS
    events = await frontend.gateway.get(f"{frontend.path}/events", after=0)
    offsets = [one["offset"] for one in events["items"]]
    assert offsets == list(range(1, events["head"] + 1))
    of_run = [one["event"] for one in events["items"] if one["event"]["subject"]["id"] == run["id"]]
    assert Counter(one["type"] for one in of_run)["model_run.completed"] == 1
    assert of_run[-1]["type"] == "model_run.completed"
    assert of_run[-1]["data"]["succeeded"] == _ROWS


async def _submitted(frontend: Frontend) -> Json:
    model = await frontend.model("object_detection")
    run = await frontend.gateway.post(f"{frontend.path}/model-runs", await frontend.wanted(model, 0.5))
    await _until(frontend, run, done=20)
    return run


async def test_a_run_survives_the_end_of_everything(stack: StackProcess) -> None:
    async with _frontend(stack) as frontend:
        run = await _submitted(frontend)
        stack.kill()
        stack.start()
        await _check(frontend, run)


@pytest.mark.parametrize("killed", [("inference",), ("triton", "valkey"), ("postgres", "notifier"), ("api",)])
async def test_a_run_survives_the_end_of_a_part(stack: StackProcess, killed: tuple[str, ...]) -> None:
    async with _frontend(stack) as frontend:
        run = await _submitted(frontend)
        before = {name: stack.status().services[name].restarts for name in killed}
        stack.kill(*killed)
        for name in killed:
            await asyncio.to_thread(stack.wait_until_ready, name, restarts=before[name] + 1)
        await _check(frontend, run)
