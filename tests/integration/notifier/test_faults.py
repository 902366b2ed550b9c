"""What clients notice when a part goes away, or when one of them does not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from deploy.local.stack import Addresses
from shared.contracts.events import ProjectCreated
from tests.support.notifier import (
    Listener,
    NotifierProcess,
    Tenant,
    listening,
    notifier_environment,
    running_notifier,
)


class Gate:
    """A TCP relay that can be shut: connections break and new ones are refused, as when the server has died."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._target = target
        self.port = 0

    @property
    def url(self) -> str:
        return self._target.replace(f"{self._host}:{self._port}", f"127.0.0.1:{self.port}")

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, inner_writer}
        with suppress(OSError):
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        self._writers -= {writer, inner_writer}


@pytest.fixture
def environment(servers: Addresses) -> dict[str, str]:
    return notifier_environment(servers) | {"NOTIFIER_POLL_SECONDS": "0.5", "NOTIFIER_PAGE_SIZE": "20"}


async def test_without_redis_the_poll_finds_what_is_new(
    environment: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    async with _gated(environment, "REDIS_URL", tmp_path) as (gate, notifier), listening(notifier, tenant) as listener:
        await listener.subscribe("1", f"project:{tenant.project_id}")
        await gate.shut()
        for revision in range(1, 4):
            await tenant.log(tenant.updated(revision))
            assert (await listener.read(1.5))["offset"] == revision
        await gate.open()
        await asyncio.sleep(1)
        await tenant.log(tenant.updated(4))
        assert (await listener.read(0.4))["offset"] == 4  # sooner than a poll: hints are back


async def test_without_postgresql_clients_stay_and_miss_nothing(
    environment: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    project = f"project:{tenant.project_id}"
    async with (
        _gated(environment, "DATABASE_URL", tmp_path) as (gate, notifier),
        listening(notifier, tenant) as listener,
    ):
        await listener.subscribe("1", project)
        await gate.shut()
        await tenant.log(*(tenant.updated(revision) for revision in range(1, 31)))
        await listener.send(type="subscribe", id="2", topic=project)
        await listener.send(type="ping")
        assert await listener.read() == {"type": "pong"}
        await asyncio.sleep(1)
        await gate.open()
        found = await listener.read_many(31)
        assert [message["offset"] for message in found if message["type"] == "event"] == list(range(1, 31))
        assert [message["recovered"] for message in found if message["type"] == "subscribed"] == [False]


async def test_who_does_not_read_is_closed_and_costs_nobody_else(
    environment: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    project, count, name = f"project:{tenant.project_id}", 1_500, "n" * 20_000
    with running_notifier(environment, tmp_path / "log") as notifier:
        async with listening(notifier, tenant) as slow, listening(notifier, tenant) as quick:
            for listener in (slow, quick):
                subscribed = await listener.subscribe("1", project)
            slow.socket.transport.pause_reading()
            event = ProjectCreated(workspace_id=tenant.workspace_id, project_id=tenant.project_id, name=name)
            reader = asyncio.create_task(quick.read_many(count))
            for _ in range(count // 50):
                await tenant.log(*([event] * 50))
            assert [message["offset"] for message in await reader] == list(range(1, count + 1))
            assert notifier.metric("prelabel_notifier_slow_clients_closed_total") == 1
            slow.socket.transport.resume_reading()
            last = await _last_offset(slow)
            assert slow.socket.close_code == 4429
        async with listening(notifier, tenant) as back:
            after = {"epoch": subscribed["epoch"], "offset": last}
            assert (await back.subscribe("1", project, after=after))["recovered"] is True
            missed = await back.read_many(count - last)
            assert [message["offset"] for message in missed] == list(range(last + 1, count + 1))


async def _last_offset(listener: Listener) -> int:
    """Read until the close; offsets rise by one."""
    last = 0
    with suppress(ConnectionClosed):
        async for text in listener.socket:
            offset = int(str(text).partition('"offset":')[2].partition(",")[0])
            assert offset == last + 1
            last = offset
    return last


@asynccontextmanager
async def _gated(
    environment: dict[str, str], variable: str, folder: Path
) -> AsyncIterator[tuple[Gate, NotifierProcess]]:
    gate = Gate(environment[variable])
    await gate.open()
    notifier = NotifierProcess({**environment, variable: gate.url}, folder / "log")
    try:
        await asyncio.to_thread(notifier.start)
        yield gate, notifier
    finally:
        await asyncio.to_thread(notifier.stop)
        await gate.shut()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
