"""Workers of operations, on real PostgreSQL: in this process with handlers as a test wants them, or as they are."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from deploy.local.stack import ROOT
from shared.database.engine import Sessions
from shared.database.operations import NewOperation, add_operation
from shared.database.tables import OperationRow
from shared.database.unit_of_work import unit_of_work
from shared.object_store import ObjectStore
from shared.operations import Company, Handler, OperationWorker
from shared.settings import OperationSettings
from shared.signals import Signals

KIND = "realign_model_run"


class RunningOperations:
    """As a process runs it, without the doorbell: it finds the work by looking."""

    def __init__(self, worker: OperationWorker) -> None:
        self.worker = worker
        self._lanes = asyncio.create_task(worker.work())
        self._beat = asyncio.create_task(worker.beat())

    async def stop(self) -> None:
        """As on SIGTERM: steps under way end, the rest is given back."""
        self.worker.stop()
        await asyncio.wait({self._lanes}, timeout=20)
        await self.kill()

    async def kill(self) -> None:
        """From one moment to the next; nothing is given back."""
        for task in (self._lanes, self._beat):
            task.cancel()
        await asyncio.gather(self._lanes, self._beat, return_exceptions=True)


@asynccontextmanager
async def operating(
    sessions: Sessions,
    signals: Signals,
    handlers: Mapping[str, Handler],
    store: ObjectStore | None = None,
    **changed: Any,
) -> AsyncIterator[RunningOperations]:
    settings = OperationSettings(**{"operations_poll_seconds": 0.05, **changed})
    running = RunningOperations(OperationWorker(Company(sessions, signals, settings, "service:test", store), handlers))
    try:
        yield running
    finally:
        await running.stop()


async def add(sessions: Sessions, signals: Signals, wanted: NewOperation) -> UUID:
    async with unit_of_work(sessions, signals, "member:test") as work:
        return (await add_operation(work, wanted)).id


async def read(sessions: Sessions, operation_id: UUID) -> OperationRow:
    async with sessions() as session:
        return await session.get_one(OperationRow, operation_id)


async def until_state(sessions: Sessions, operation_id: UUID, *states: str, seconds: float = 20) -> OperationRow:
    async with asyncio.timeout(seconds):
        while (row := await read(sessions, operation_id)).state not in states:
            await asyncio.sleep(0.02)
    return row


@asynccontextmanager
async def worker_process(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of its own, to be killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.api.worker", env=environment, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
