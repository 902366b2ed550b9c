"""Subscribers that are well, beside whatever else is done to their notifier: they must notice nothing of it."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from shared.contracts.events import ProjectCreated
from tests.support.notifier import NotifierProcess, Tenant, listening

PATIENCE_SECONDS = 30.0
_HEALTHY, _EVENTS = 20, 60
_PAUSE_SECONDS = 0.01
_HELD_STATES = {"01", "08"}
"""Of /proc/net/tcp: established, and closed by the other side only."""


@asynccontextmanager
async def unharmed(notifier: NotifierProcess, tenant: Tenant) -> AsyncIterator[None]:
    """Healthy subscribers, and events for as long as the block lasts: each of them gets all of these."""
    arrived, stopping = asyncio.Event(), asyncio.Event()
    following = [asyncio.create_task(_follow(notifier, tenant, arrived)) for _ in range(_HEALTHY)]
    writing = asyncio.create_task(_write(tenant, stopping))
    try:
        await arrived.wait()
        yield
    finally:
        stopping.set()
        last = await writing
        found = await asyncio.gather(*following)
    for offsets in found:
        assert offsets == list(range(offsets[0], last + 1))
    await _until_none_is_held(notifier)


async def _write(tenant: Tenant, stopping: asyncio.Event) -> int:
    """At least some; the last has another type, so that followers know it. Says how many."""
    event = ProjectCreated(workspace_id=tenant.workspace_id, project_id=tenant.project_id, name="n" * 2_000)
    for count in itertools.count(1):
        if stopping.is_set() and count > _EVENTS:
            await tenant.log(tenant.updated(count))
            return count
        await tenant.log(event)
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError


async def _follow(notifier: NotifierProcess, tenant: Tenant, arrived: asyncio.Event) -> list[int]:
    async with listening(notifier, tenant) as listener:
        await listener.subscribe("1", f"project:{tenant.project_id}")
        offsets = []
        while True:
            message = await listener.read(PATIENCE_SECONDS)
            arrived.set()
            assert message["type"] == "event", message
            offsets.append(message["offset"])
            if message["event"]["type"] == "project.updated":
                return offsets


async def until_torn(local_port: int) -> None:
    """Until the notifier's end of this connection is given up; the kernel knows, although nobody reads."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(there == local_port for _, there in _held()):
            await asyncio.sleep(0.05)


async def _until_none_is_held(notifier: NotifierProcess) -> None:
    """The process keeps no connection of those who were closed, whether or not they read their end."""
    served = urlsplit(notifier.http_url).port
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(port == served for port, _ in _held()):
            await asyncio.sleep(0.05)


def _held() -> list[tuple[int, int]]:
    """The ends of all connections of this machine: the port here, and that of the other side."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [(_port(here), _port(there)) for _, here, there, state, *_ in lines if state in _HELD_STATES]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
