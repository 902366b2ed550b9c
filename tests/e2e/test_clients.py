"""The clients that docs/websocket.md shows, run against the whole stack, with the notifier killed in mid-run."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json
from tests.support.node import node
from tests.support.stack import set_up
from tests.support.websocket_page import CLIENTS

pytestmark = pytest.mark.timeout(400)

ONTOLOGY: Json = {"tools": [{"type": "bounding_box", "name": "Person"}]}
ROWS = 150
ENDED = ("model_run.completed", "model_run.completed_with_errors")


class Follower:
    """A client as a process; what it printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.messages: list[Json] = []

    async def until(self, kind: str) -> None:
        """Read on to a message of this type."""
        await self.until_one(lambda message: bool(message["type"] == kind))

    async def until_one(self, holds: Callable[[Json], bool]) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.messages.append(json.loads(line))
            if holds(self.messages[-1]):
                return
        raise AssertionError("it ended too soon")

    async def to_the_end(self) -> None:
        out, _ = await self.process.communicate()
        self.messages += [json.loads(line) for line in out.splitlines()]

    def of(self, kind: str) -> list[Json]:
        return [message for message in self.messages if message["type"] == kind]


@asynccontextmanager
async def following(stack: StackProcess, language: str, topic: str) -> AsyncIterator[Follower]:
    program = str(node()) if language == "javascript" else sys.executable
    url = stack.addresses.notifier_url.replace("http", "ws", 1) + "/v1/ws"
    async with running(stack, program, str(CLIENTS[language]), stack.addresses.api_url, url, topic) as follower:
        yield follower


@asynccontextmanager
async def running(stack: StackProcess, *command: str) -> AsyncIterator[Follower]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "PRELABEL_API_KEY": stack.api_key},
        stdout=asyncio.subprocess.PIPE,
        limit=1024 * 1024,
    )
    try:
        yield Follower(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_both_clients_miss_nothing_when_the_notifier_dies(gateway: Gateway, stack: StackProcess) -> None:
    frontend = await set_up(gateway, ONTOLOGY, [(f"{number}.png", _picture(number)) for number in range(ROWS)])
    detector = await frontend.model("object_detection")
    run = await gateway.post(f"{frontend.path}/model-runs", await frontend.wanted(detector, 0.5))
    path, topic = f"/v1/model-runs/{run['id']}", f"model_run:{run['id']}"
    await gateway.post(f"{path}/pause", {})  # held, until both follow it
    async with following(stack, "python", topic) as python, following(stack, "javascript", topic) as javascript:
        clients = (python, javascript)
        await asyncio.gather(*(client.until("subscribed") for client in clients))
        await gateway.post(f"{path}/resume", {})
        await asyncio.gather(*(client.until("event") for client in clients))
        restarts = stack.status().services["notifier"].restarts
        stack.kill("notifier")
        await gateway.post(f"{path}/pause", {})  # while nobody can hear it
        await gateway.post(f"{path}/resume", {})
        await asyncio.to_thread(stack.wait_until_ready, "notifier", restarts=restarts + 1)
        async with asyncio.timeout(200):
            await asyncio.gather(*(client.to_the_end() for client in clients))
    logged = (await gateway.get(f"{frontend.path}/events", limit=1000))["items"]
    for client in clients:
        assert client.process.returncode == 0
        first, *later = client.of("subscribed")
        assert (first["recovered"], first["snapshot"]["id"]) == (False, run["id"])
        assert later, "it was cut off"
        assert all(again["recovered"] for again in later)
        expected = [
            (one["offset"], one["event"]["type"])
            for one in logged
            if one["offset"] > first["offset"] and one["event"]["subject"]["id"] == run["id"]
        ]
        seen = [(one["offset"], one["event"]["type"]) for one in client.of("event")]
        assert seen == expected
        assert [kind for _, kind in seen].count("model_run.paused") == 1
        assert seen[-1][1] in ENDED
        assert client.messages[-1]["event"]["data"]["total"] == ROWS


async def test_the_first_commands_of_the_page_show_progress_and_the_end(gateway: Gateway, stack: StackProcess) -> None:
    del gateway
    command = (sys.executable, str(CLIENTS["python"].with_name("start_run.py")), stack.addresses.api_url, "10000")
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "PRELABEL_API_KEY": stack.api_key}, stdout=asyncio.subprocess.PIPE
    )
    topic = (await process.communicate())[0].decode().strip()
    async with following(stack, "python", topic) as python, following(stack, "javascript", topic) as javascript:
        async with asyncio.timeout(200):
            await asyncio.gather(python.to_the_end(), javascript.to_the_end())
    for client in (python, javascript):
        assert client.process.returncode == 0
        assert client.of("progress")
        assert client.messages[-1]["event"]["data"]["succeeded"] == 10000


async def test_a_client_that_may_not_follow_ends(gateway: Gateway, stack: StackProcess) -> None:
    del gateway
    for language in ("python", "javascript"):
        async with following(stack, language, f"model_run:{'0' * 8}-0000-7000-8000-{'0' * 12}") as client:
            async with asyncio.timeout(60):
                await client.to_the_end()
        assert client.messages[-1]["problem"]["code"] == "not_found"


async def test_the_server_sent_client_misses_nothing_when_the_notifier_dies(
    gateway: Gateway, stack: StackProcess
) -> None:
    project = await gateway.post("/v1/projects", {"name": "0", "media_type": "image"})
    path = f"/v1/projects/{project['id']}"
    urls = (stack.addresses.api_url, stack.addresses.notifier_url)
    command = (str(node()), "--experimental-eventsource", "--no-warnings", str(CLIENTS["js"]), *urls, project["id"])
    async with running(stack, *command) as client, asyncio.timeout(120):
        await client.until_one(lambda block: block["name"] == "subscribed")
        await _rename(gateway, path, 1)
        await client.until_one(lambda block: block["name"] == "message")
        restarts = stack.status().services["notifier"].restarts
        stack.kill("notifier")
        await _rename(gateway, path, 2)
        await asyncio.to_thread(stack.wait_until_ready, "notifier", restarts=restarts + 1)
        await _rename(gateway, path, 3)
        logged = (await gateway.get(f"{path}/events", limit=1000))["items"]
        await client.until_one(lambda block: block["id"].endswith(f":{logged[-1]['offset']}"))
    first, *later = [block["data"] for block in client.messages if block["name"] == "subscribed"]
    assert (first["recovered"], first["snapshot"]["id"]) == (False, project["id"])
    assert later, "it was cut off"
    assert all(again["recovered"] for again in later)
    seen = [block["data"] for block in client.messages if block["name"] == "message"]
    assert seen == [one["event"] for one in logged if one["offset"] > first["offset"]]


async def _rename(gateway: Gateway, path: str, number: int) -> None:
    await gateway.patch(path, {"name": str(number)}, await gateway.etag(path))


def _picture(number: int) -> bytes:
    """One of its own, so that no result is copied from another."""
    pixels = np.random.default_rng(number).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
