"""A worker that stands still in the middle of a transaction keeps nobody from its segment for longer than its lease."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text

from services.inference.fencing import cut_off
from shared.signals import Signals
from tests.support.leases import claim
from tests.support.workers import submit_numbers
from tests.support.world import World

_LEASE_SECONDS = 1.0


@pytest.fixture
async def silent(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of somebody who says nothing more."""
    connection = await asyncpg.connect(database_url)
    yield connection
    connection.terminate()


async def _cut_off(world: World, lease_seconds: float = _LEASE_SECONDS) -> int:
    async with world.sessions.begin() as session:
        return await cut_off(session, lease_seconds)


@pytest.mark.parametrize("in_copy", [False, True], ids=["between statements", "in a COPY"])
async def test_who_stands_still_in_a_transaction_is_cut_off_when_the_lease_has_run_out(
    world: World, signals: Signals, silent: "asyncpg.Connection[asyncpg.Record]", in_copy: bool
) -> None:
    await submit_numbers(world, 4)
    old = await claim(world, signals, "old", lease_seconds=_LEASE_SECONDS)
    assert old is not None
    await silent.execute("BEGIN")
    await silent.execute("CREATE TEMP TABLE results (n int)")
    await silent.execute("SELECT 1 FROM segments WHERE id = $1 FOR UPDATE", old.segment_id)
    never, copying = asyncio.Event(), None
    if in_copy:
        copying = asyncio.create_task(silent.copy_to_table("results", source=_begun(never)))
    assert await _cut_off(world, lease_seconds=60) == 0, "the lease still runs"
    await asyncio.sleep(_LEASE_SECONDS + 0.2)
    assert await claim(world, signals, "new", lease_seconds=_LEASE_SECONDS) is None, "the row is locked"
    assert await _cut_off(world) == 1
    async with asyncio.timeout(10):
        while (new := await claim(world, signals, "new", lease_seconds=_LEASE_SECONDS)) is None:
            await asyncio.sleep(0.05)
    assert (new.segment_id, new.generation) == (old.segment_id, old.generation + 1)
    if copying is not None:
        copying.cancel()
        await asyncio.gather(copying, return_exceptions=True)


async def test_who_locks_a_segment_without_a_lease_is_left_alone(world: World, signals: Signals) -> None:
    """As a cancel does, or a worker that is about to take the segment over."""
    await submit_numbers(world, 4)
    assert await claim(world, signals, "old", lease_seconds=_LEASE_SECONDS) is not None
    await asyncio.sleep(_LEASE_SECONDS + 0.2)
    async with world.sessions.begin() as session:
        await session.execute(text("SELECT id FROM segments FOR UPDATE"))
        assert await _cut_off(world) == 0
        assert await session.scalar(text("SELECT 1")) == 1


async def _begun(never: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"1\n"
    await never.wait()
