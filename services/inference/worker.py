"""An inference worker: lanes that each work through one leased segment at a time.

The doorbell only wakes them; which segment a lane takes is decided in PostgreSQL, so a lost ring costs at most a poll.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from services.inference import runs, segments
from services.inference.failures import ModelUnusable, PartAway
from services.inference.metrics import LEASES_LOST, SEGMENTS_HELD, TAKEOVERS
from services.inference.models import ModelKeeper
from services.inference.pipeline import Machinery, Pipeline
from services.inference.segments import Claim, Lease, LeaseLost
from services.inference.served_model import ServedModel
from services.inference.served_models import ServedModels
from services.inference.triton import ModelBroken
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.unit_of_work import unit_of_work
from shared.signals import Signals
from shared.telemetry import logger

_ACTOR = "service:inference"
_PAUSE_SECONDS = 0.5

log = logger(__name__)


class Worker:
    def __init__(self, machinery: Machinery, signals: Signals) -> None:
        self._parts = machinery
        self._settings = machinery.settings
        self._signals = signals
        self._models = ServedModels(machinery.store, machinery.triton, machinery.threads)
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._woken = asyncio.Event()
        self._stopping = False
        self._pipelines: dict[Lease, Pipeline] = {}
        self._lanes: dict[Lease, asyncio.Task[None]] = {}
        self.held: dict[Lease, Claim] = {}
        self.keeper = ModelKeeper(machinery.triton, machinery.sessions, signals, self.wake)

    @property
    def sessions(self) -> Sessions:
        return self._parts.sessions

    def wake(self) -> None:
        self._woken.set()

    async def on_ring(self) -> None:
        self.wake()

    def stop(self) -> None:
        """Take nothing new; let the batches under way end and give the rest back."""
        self._stopping = True
        self.wake()
        for pipeline in self._pipelines.values():
            pipeline.stop()

    async def work(self) -> None:
        """Run every lane until stopped."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.inference_lanes):
                group.create_task(self._lane())

    async def beat(self) -> None:
        """Say that this worker lives, for ever; drop at once what it no longer holds."""
        while True:
            await asyncio.sleep(self._settings.inference_heartbeat_seconds)
            claims = list(self.held.values())
            if not claims:
                continue
            try:
                async with self._parts.sessions.begin() as session:
                    kept = await segments.heartbeat(session, claims)
            except DATABASE_ERRORS as error:
                log.warning("heartbeat_missed", error=type(error).__name__)
                continue
            for claim in claims:
                task = self._lanes.get(claim.lease)
                if claim.lease not in kept and task:
                    task.cancel()

    async def _lane(self) -> None:
        while not self._stopping:
            try:
                claim = await self._claim()
            except LeaseLost:
                continue
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
            async with asyncio.timeout(self._settings.inference_poll_seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _claim(self) -> Claim | None:
        held_projects = [claim.project_id for claim in self.held.values()]
        async with unit_of_work(self._parts.sessions, self._signals, _ACTOR) as work:
            claim = await segments.claim(
                work,
                purpose=self._settings.inference_purpose,
                holder=self._holder,
                lease_seconds=self._settings.inference_lease_seconds,
                held_projects=held_projects,
            )
        if claim is not None and claim.taken_over:
            TAKEOVERS.inc()
        return claim

    async def _serve(self, claim: Claim) -> None:
        """One segment, from lease to end. Whatever happens to it, the lane goes on."""
        task = asyncio.create_task(self._run(claim))
        # By lease: while PostgreSQL was away another lane may take over what this one still holds.
        self.held[claim.lease], self._lanes[claim.lease] = claim, task
        SEGMENTS_HELD.set(len(self.held))
        try:
            await asyncio.wait({task})
            if task.cancelled() or isinstance(task.exception(), LeaseLost):
                LEASES_LOST.inc()
                log.info("lease_lost", segment=str(claim.segment_id), run=str(claim.model_run_id))
            elif (error := task.exception()) is not None:
                await self._give_back(claim, error)
        finally:
            task.cancel()
            del self.held[claim.lease], self._lanes[claim.lease]
            SEGMENTS_HELD.set(len(self.held))

    async def _run(self, claim: Claim) -> None:
        try:
            model = await self._model(claim)
        except ModelUnusable as unusable:
            async with unit_of_work(self._parts.sessions, self._signals, _ACTOR) as work:
                await runs.fail(work, claim.model_run_id, str(unusable))
            return
        pipeline = Pipeline(self._parts, claim, model)
        self._pipelines[claim.lease] = pipeline
        if self._stopping:  # told to while the model was asked
            pipeline.stop()
        try:
            done = await pipeline.run()
        finally:
            del self._pipelines[claim.lease]
        async with unit_of_work(self._parts.sessions, self._signals, _ACTOR) as work:
            if done:
                await segments.finish(work, claim)
            else:
                await segments.give_back(work.session, claim)

    async def _model(self, claim: Claim) -> ServedModel:
        """All results of a run come from one model version; if it changed, the run stops with a reason."""
        wanted = claim.configuration
        if await self._parts.triton.digest(wanted.triton_model) != wanted.digest:
            raise ModelUnusable("Triton serves another version of the model than the run began with")
        return await self._models.served(wanted)

    async def _give_back(self, claim: Claim, error: BaseException) -> None:
        log.warning("segment_given_back", segment=str(claim.segment_id), error=f"{type(error).__name__}: {error}"[:300])
        if isinstance(error, ModelBroken):
            self.keeper.mend(claim.configuration.triton_model)
        elif not isinstance(error, (PartAway, *DATABASE_ERRORS)):
            log.error("segment_failed", exc_info=error)
        await self._until_stored(lambda: self._leave(claim))
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _leave(self, claim: Claim) -> None:
        async with self._parts.sessions.begin() as session:
            await segments.give_back(session, claim)

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
