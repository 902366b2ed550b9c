"""Faults of servers and models that need more than a signal. Each is in the history of its round."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from services.inference.failures import ModelAway
from services.inference.triton import Triton
from shared.model_card import BuiltModel
from tests.faults.harness.round import Round

OTHER_DIGEST = "0" * 64
_SEARCH_SECONDS = 20.0
_LOAD_SECONDS = 60.0
_ALWAYS_EVEN = {"scores": {"datatype": "float32", "row": [0.9, 0.1]}}


async def kill_server(told: Round, name: str, *, forget: str | None = None) -> None:
    """SIGKILL to a server; returns once it runs again. `forget`: without this part of its folder."""
    if forget:  # what it writes until it dies goes into files that have no name any more
        shutil.rmtree(told.world.folder / "servers" / name / forget)
    await _restarted(told, name, told.faults.kill)


async def restart_server(told: Round, name: str) -> None:
    """As an operator does: it ends in order, and what is connected with it."""
    await _restarted(told, name, told.faults.interrupt)


async def _restarted(told: Round, name: str, end: Callable[[str], None]) -> None:
    before = told.world.stack.status().services[name].restarts
    end(name)
    await asyncio.to_thread(told.world.stack.wait_until_ready, name, restarts=before + 1)


async def kill_backend(told: Round, application: str) -> None:
    """SIGKILL to the process of PostgreSQL that works for one of these connections, inside a transaction."""
    async with asyncio.timeout(_SEARCH_SECONDS):
        connection = await asyncpg.connect(told.world.addresses.database_url)
        try:
            while (pid := await connection.fetchval(_IN_TRANSACTION, f"{application}%")) is None:
                await asyncio.sleep(0.005)
            told.history.fault(f"kill the backend {pid} of {application}")
            os.kill(pid, signal.SIGKILL)
        finally:
            connection.terminate()


async def end_in_commit(told: Round, application: str) -> None:
    """End a connection whose commit is safe on the disk, before it is told so.

    Such a commit waits for a standby that never answers. Raises TimeoutError when none was seen.
    """
    await _execute(told, "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (nobody)'")
    try:
        async with asyncio.timeout(_SEARCH_SECONDS):
            while not await _execute(told, _END_WAITING, f"{application}%"):
                await asyncio.sleep(0.01)
        told.history.fault(f"end a connection of {application} in its commit")
    finally:
        await _execute(told, "ALTER SYSTEM RESET synchronous_standby_names")


@contextmanager
def changed_model(repository: Path, built: BuiltModel) -> Iterator[None]:
    """Another version lies in the place of a model: it says `even` of everything. Triton sees it when it loads."""
    folder = repository / built.triton_name
    config, behaviour = folder / "config.pbtxt", folder / "1" / "behaviour.json"
    before = {path: path.read_text() for path in (config, behaviour)}
    digest = f'"{built.digest}"'
    assert digest in before[config]
    config.write_text(before[config].replace(digest, f'"{OTHER_DIGEST}"'))
    behaviour.write_text(json.dumps({**json.loads(before[behaviour]), "parity": None, "constants": _ALWAYS_EVEN}))
    try:
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


async def until_served(told: Round, built: BuiltModel, digest: str) -> None:
    """Until Triton serves the version with this digest. It must have been told to load it."""
    triton = Triton(told.world.addresses.triton_url, 5)
    try:
        async with asyncio.timeout(_LOAD_SECONDS):
            while await _digest(triton, built) != digest:
                await asyncio.sleep(0.1)
    finally:
        await triton.close()


async def _digest(triton: Triton, built: BuiltModel) -> str | None:
    try:
        return await triton.digest(built.triton_name)
    except ModelAway:
        return None


async def _execute(told: Round, statement: str, *values: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(told.world.addresses.database_url)
    try:
        found = await connection.fetch(statement, *values)
        if statement.startswith("ALTER SYSTEM"):
            await connection.execute("SELECT pg_reload_conf()")
    finally:
        connection.terminate()
    return list(found)


_IN_TRANSACTION = """
    SELECT pid FROM pg_stat_activity
    WHERE application_name LIKE $1 AND xact_start IS NOT NULL AND backend_xid IS NOT NULL LIMIT 1
"""
_END_WAITING = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE wait_event = 'SyncRep' AND application_name LIKE $1 LIMIT 1
"""
