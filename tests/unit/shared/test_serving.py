"""A server that was told to stop serves on, unready, and then ends."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from shared.serving import Departing, DepartingServer, Departure


async def _answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.url.path)


_APP = Starlette(routes=[Route("/readyz", _answer), Route("/work", _answer)])


@asynccontextmanager
async def serving(delay_seconds: float) -> AsyncIterator[tuple[DepartingServer, httpx2.AsyncClient]]:
    """In a thread, where uvicorn leaves signals alone."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        departure = Departure()
        config = uvicorn.Config(Departing(_APP, departure), interface="asgi3", log_config=None, lifespan="off")
        server = DepartingServer(config, departure, delay_seconds)
        running = asyncio.create_task(asyncio.to_thread(server.run, [listener]))
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
            assert (await client.get("/readyz")).status_code == 200
            yield server, client
        await running


async def test_until_the_delay_is_over_it_serves_unready_and_ends_connections() -> None:
    async with serving(delay_seconds=1) as (server, client):
        assert "connection" not in (await client.get("/work")).headers
        told = time.monotonic()
        server.handle_exit(signal.SIGTERM, None)
        unready, answered = await client.get("/readyz"), await client.get("/work")
        assert (unready.status_code, unready.json()["ready"]) == (503, False)
        assert (answered.status_code, answered.headers["connection"]) == (200, "close")
    assert time.monotonic() - told >= 1


async def test_a_second_signal_ends_the_delay() -> None:
    async with serving(delay_seconds=600) as (server, _):
        server.handle_exit(signal.SIGTERM, None)
        server.handle_exit(signal.SIGTERM, None)


async def test_without_a_delay_it_ends_at_once() -> None:
    async with serving(delay_seconds=0) as (server, _):
        server.handle_exit(signal.SIGTERM, None)
        assert server.should_exit
