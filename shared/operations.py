"""A worker of operations: lanes that each work on one leased operation at a time.

The doorbell only wakes them; which operation a lane takes is decided in PostgreSQL, so a lost ring costs a poll.
Any service may have such a worker, for the kinds it has handlers for.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client import Counter, Gauge

from shared.contracts.operations import OperationProgress
from shared.database import operations
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.operations import Json, Lease, OperationClaim, OperationLost
from shared.database.unit_of_work import UnitOfWork, unit_of_work
from shared.errors import PrelabelError, Unavailable
from shared.object_store import ObjectStore
from shared.settings import OperationSettings
from shared.signals import Signals
from shared.telemetry import logger

_MOST_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5

HELD = Gauge("prelabel_operations_held", "Operations this worker has leased")
ENDED = Counter("prelabel_operations_ended_total", "Attempts at operations, by how they ended", ["kind", "end"])

log = logger(__name__)


class OperationStopped(Exception):
    """The worker ends: begin no further step."""


class WorkerCrashed(PrelabelError):
    code = "worker_crashed"
    title = "Every worker that took the operation died or failed"


@dataclass(frozen=True, slots=True)
class Company:
    """What operations are worked on with. `actor` is the service, as events name it; `store` for kinds that need it."""

    sessions: Sessions
    signals: Signals
    settings: OperationSettings
    actor: str
    store: ObjectStore | None = None


class RunningOperation:
    """An operation in the hands of its handler, which works in steps. Each commits by itself, proves that this worker
    still holds the operation, and may be done again: after a `kill -9` another worker begins from the start.

        async with operation.step() as work:
            ...
            await operation.report(work, done=1_000, total=10_000)
        async with operation.step() as work:
            ...
            await operation.succeed(work, {"rows": 10_000})

    The last step calls `succeed`. A `PrelabelError` ends the operation as failed with that problem; `Unavailable` and
    a lost database mean another attempt.
    """

    def __init__(self, claim: OperationClaim, company: Company) -> None:
        self.claim = claim
        self._company = company
        self._stopping = False
        self.ended = False

    @property
    def parameters(self) -> Json:
        return self.claim.parameters

    @property
    def store(self) -> ObjectStore:
        if self._company.store is None:
            raise LookupError("this worker has no object store")
        return self._company.store

    def stop(self) -> None:
        self._stopping = True

    @asynccontextmanager
    async def step(self) -> AsyncIterator[UnitOfWork]:
        """One transaction. Raises OperationLost, or OperationStopped when the worker ends."""
        if self._stopping:
            raise OperationStopped
        async with unit_of_work(self._company.sessions, self._company.signals, self._company.actor) as work:
            await operations.lock(work.session, self.claim)
            yield work
            await work.session.flush()
            await operations.prolong(work.session, self.claim)

    async def report(self, work: UnitOfWork, done: int, total: int | None = None, stage: str | None = None) -> None:
        await operations.report_progress(
            work.session, self.claim, OperationProgress(done=done, total=total, stage=stage)
        )

    async def succeed(self, work: UnitOfWork, result: Json) -> None:
        await operations.succeed(work, self.claim, result)
        self.ended = True

    async def fail(self, work: UnitOfWork, error: PrelabelError) -> None:
        """For a failure that leaves effects of its own, in the transaction of those."""
        await operations.fail(work, self.claim, error)
        self.ended = True


Handler: TypeAlias = Callable[[RunningOperation], Awaitable[None]]


class OperationWorker:
    """Works on the kinds it has a handler for."""

    def __init__(self, company: Company, handlers: Mapping[str, Handler]) -> None:
        self._company = company
        self._settings = company.settings
        self._handlers = handlers
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._woken = asyncio.Event()
        self._stopping = False
        self._held: dict[Lease, tuple[RunningOperation, asyncio.Task[None]]] = {}

    async def on_ring(self, times: int) -> None:
        del times
        self._woken.set()

    def stop(self) -> None:
        """Take nothing new; let the steps under way end and give the rest back."""
        self._stopping = True
        self._woken.set()
        for running, _ in self._held.values():
            running.stop()

    async def work(self) -> None:
        """Run every lane until stopped."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.operations_lanes):
                group.create_task(self._lane())

    async def beat(self) -> None:
        """Say that this worker lives, for ever; drop at once what it no longer holds."""
        while True:
            await asyncio.sleep(self._settings.operations_heartbeat_seconds)
            held = dict(self._held)
            if not held:
                continue
            try:
                async with self._company.sessions.begin() as session:
                    kept = await operations.heartbeat(session, list(held))
            except DATABASE_ERRORS as error:
                log.warning("heartbeat_missed", error=type(error).__name__)
                continue
            for lease, (_, task) in held.items():
                if lease not in kept:
                    task.cancel()

    async def _lane(self) -> None:
        while not self._stopping:
            try:
                claim = await self._claim()
            except DATABASE_ERRORS as error:
                log.warning("claim_failed", error=type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if claim is None:
                await self._wait()
            else:
                await self._serve(claim)

    async def _wait(self) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(self._settings.operations_poll_seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _claim(self) -> OperationClaim | None:
        async with self._company.sessions.begin() as session:
            return await operations.claim(
                session,
                kinds=list(self._handlers),
                holder=self._holder,
                lease_seconds=self._settings.operations_lease_seconds,
            )

    async def _serve(self, claim: OperationClaim) -> None:
        """One operation, from lease to end. Whatever happens to it, the lane goes on."""
        running = RunningOperation(claim, self._company)
        task = asyncio.create_task(self._run(running))
        self._held[claim.lease] = (running, task)
        HELD.set(len(self._held))
        try:
            await asyncio.wait({task})
            error = OperationLost() if task.cancelled() else task.exception()
            ENDED.labels(claim.kind, type(error).__name__ if error else "ended").inc()
            if error is not None:
                await self._until_stored(lambda: self._settle(claim, error))
        finally:
            task.cancel()
            del self._held[claim.lease]
            HELD.set(len(self._held))

    async def _run(self, running: RunningOperation) -> None:
        if running.claim.attempts > _MOST_ATTEMPTS:
            raise WorkerCrashed()
        await self._handlers[running.claim.kind](running)
        if not running.ended:
            raise RuntimeError(f"the handler of {running.claim.kind} returned before its operation had ended")

    async def _settle(self, claim: OperationClaim, error: BaseException) -> None:
        """What an attempt that did not succeed leaves behind."""
        about = {"operation": str(claim.id), "kind": claim.kind, "error": type(error).__name__}
        if isinstance(error, OperationLost):
            log.info("operation_lost", **about)
        elif isinstance(error, OperationStopped):
            await self._give_back(claim, blameless=True)
        elif isinstance(error, (Unavailable, *DATABASE_ERRORS)):
            log.warning("operation_given_back", **about)
            await self._give_back(claim, blameless=isinstance(error, Unavailable))
            await asyncio.sleep(_PAUSE_SECONDS)
        elif isinstance(error, PrelabelError):
            await self._fail(claim, error)
        else:
            log.error("operation_failed", **about, exc_info=error)
            await self._fail(claim, PrelabelError())  # which says nothing of what happened inside

    async def _give_back(self, claim: OperationClaim, *, blameless: bool) -> None:
        async with self._company.sessions.begin() as session:
            await operations.give_back(session, claim, blameless=blameless)

    async def _fail(self, claim: OperationClaim, error: PrelabelError) -> None:
        try:
            async with unit_of_work(self._company.sessions, self._company.signals, self._company.actor) as work:
                await operations.lock(work.session, claim)
                await operations.fail(work, claim, error)
        except OperationLost:
            return

    async def _until_stored(self, write: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await write()
            except DATABASE_ERRORS:
                if self._stopping:  # the lease runs out by itself
                    return
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return
