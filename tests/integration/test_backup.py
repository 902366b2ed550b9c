"""A dump taken in the middle of a run, restored into a fresh server: the run goes on there and everything agrees."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from deploy.local.control import StackProcess
from deploy.local.postgres import binaries
from deploy.local.stack import ROOT, Addresses, StackOptions
from services.inference.settings import InferenceSettings
from shared.database.engine import create_engine, create_sessions
from shared.database.event_log import read_head
from tests.support.checked import check
from tests.support.workers import FakeTriton, Numbers, submit_numbers, until_ended, working
from tests.support.world import World

_ROWS = 96


@pytest.fixture
def fresh_server(servers: Addresses, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL of its own."""
    monkeypatch.setenv("REDIS_URL", servers.redis_url)
    monkeypatch.setenv("TRITON_URL", servers.triton_url)
    monkeypatch.delenv("DATABASE_URL")
    state = ROOT / "var" / "test" / f"restored-{os.getpid()}-{uuid4().hex[:6]}"
    stack = StackProcess(StackOptions(state=state, free_ports=True, servers_only=True))
    try:
        yield stack.start().database_url
    finally:
        stack.remove()


async def test_a_run_goes_on_in_the_restored_database(
    world: World, database_url: str, fresh_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    dump = str(tmp_path / "prelabel.dump")
    run_id, rows = await submit_numbers(world, _ROWS)
    await _do_some_of_it(world, dump, database_url)
    done = len(await world.outcomes(run_id))
    assert 0 < done < _ROWS, "the dump was taken in the middle"
    async with world.sessions() as session:
        head = await read_head(session, world.project_id)

    await _program("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={fresh_server}", dump)
    monkeypatch.setenv("DATABASE_URL", fresh_server)
    settings = InferenceSettings(database_url=SecretStr(fresh_server))
    engine = create_engine(settings, "restored")
    restored = replace(world, sessions=create_sessions(engine))
    async with restored.sessions.begin() as session:
        await session.execute(text("UPDATE streams SET epoch = gen_random_uuid()"))
    async with working(restored, FakeTriton(), inference_lease_seconds=1, inference_heartbeat_seconds=0.3):
        assert await until_ended(restored, run_id, 60) == "completed"
    await check(restored, run_id, rows)
    async with restored.sessions() as session:
        now = await read_head(session, world.project_id)
    await engine.dispose()
    assert head is not None
    assert now is not None
    assert not now.reaches(head.epoch, head.last_offset), "who comes back with an old place is told to fetch anew"
    assert now.reaches(now.epoch, head.last_offset)


async def _do_some_of_it(world: World, dump: str, database_url: str) -> None:
    """A worker stores two batches and waits with the others; then the dump is taken, and it dies."""
    calls, waits = 0, asyncio.Event()

    async def behaviour(numbers: Numbers) -> None:
        nonlocal calls
        del numbers
        calls += 1
        if calls > 2:
            waits.set()
            await asyncio.Event().wait()

    async with working(world, FakeTriton(behaviour)) as running:
        await waits.wait()
        async with asyncio.timeout(30):
            while not await _stored(world):
                await asyncio.sleep(0.05)
        await _program("pg_dump", "--format=custom", f"--file={dump}", database_url)
        await running.kill()


async def _stored(world: World) -> int:
    async with world.sessions() as session:
        return int(await session.scalar(text("SELECT count(*) FROM row_outcomes")) or 0)


async def _program(name: str, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(binaries() / name), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, f"{name}: {said.decode()[-2000:]}"
