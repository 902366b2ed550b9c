"""An inference worker: lanes that each work through one leased segment at a time.

The doorbell only wakes them; which segment a lane takes is decided in PostgreSQL, so a lost ring costs at most a poll.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from services.inference import runs, segments
from services.inference.calls import ENOUGH, is_quick, most_batches
from services.inference.failures import ModelAway, ModelBroken, ModelUnusable, PartAway
from services.inference.machinery import Machinery
from services.inference.metrics import LEASES_LOST, SEGMENTS_HELD, TAKEOVERS
from services.inference.models import ModelKeeper
from services.inference.names import NameEmbedder
from services.inference.patrol import Patrol
from services.inference.pipeline import Lane, Pipeline
from services.inference.places import Places
from services.inference.reuse import reuse_known
from services.inference.rings import Rings
from services.inference.segments import Claim, Claimant, Lease, LeaseLost, UnreadableRun
from services.inference.served_models import ServedModels
from services.inference.speed import report_speed
from shared.database.driver import driver_of
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.unit_of_work import unit_of_work
from shared.signals import Signals
from shared.telemetry import about, logger
from shared.tracing import span

ACTOR = "service:inference"
_PAUSE_SECONDS = 0.5
_PARTING_SECONDS = 2
_LEFT_BY_ONE = 2
"""Segments a lane that dies leaves at most: one that ends, and the next."""

log = logger(__name__)


class Worker:
    def __init__(self, machinery: Machinery, signals: Signals) -> None:
        self._parts = machinery
        self._settings = machinery.settings
        self._signals = signals
        self.models = ServedModels(machinery.store, machinery.servers, machinery.threads)
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._rings = Rings()
        self._stopping = False
        self._patrol = Patrol(self._settings.inference_poll_seconds / 2, self._settings.inference_heartbeat_seconds)
        self._pipelines: dict[Lease, Pipeline] = {}
        self._lanes: dict[Lease, asyncio.Task[None]] = {}
        self.held: dict[Lease, Claim] = {}
        self.names = NameEmbedder(machinery.sessions, self.models, self._settings.inference_poll_seconds)
        self.keeper = ModelKeeper(machinery, signals, self.wake)

    @property
    def sessions(self) -> Sessions:
        return self._parts.sessions

    def wake(self) -> None:
        self._rings.ring()

    async def on_ring(self, times: int) -> None:
        self._rings.ring(times)
        if self._settings.inference_purpose == "preview":  # whose bell is rung for names too
            self.names.wake()

    def stop(self) -> None:
        """Take nothing new; let the batches under way end and give the rest back."""
        self._stopping = True
        self.wake()
        self._patrol.stop()
        for pipeline in self._pipelines.values():
            pipeline.stop()

    async def report_speed(self) -> None:
        """Write what was measured into the catalog, for ever."""
        await report_speed(self._parts.speed, self._parts.sessions)

    async def work(self) -> None:
        """Run every lane until stopped."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.inference_lanes):
                group.create_task(self._lane(group))
            group.create_task(self._take_over(group))

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

    async def _lane(self, group: asyncio.TaskGroup) -> None:
        """One segment after the other. The next is begun while the last batches of one are under way."""
        places = Places(self._settings.inference_batches_in_flight)
        ending: asyncio.Task[None] | None = None
        while not self._stopping:
            heard = self._rings.heard
            claim = await self._next()
            if claim is None:
                await self._rings.wait(heard, self._settings.inference_poll_seconds)
                continue
            lane = Lane(places, self._stop_run, self._wake)
            serving = group.create_task(self._serve(claim, lane))
            if ending is not None:
                await asyncio.wait({ending})
            await lane.until_begun(serving)
            ending = serving

    async def _next(self) -> Claim | None:
        """None when there is nothing to do, or it cannot be seen whether there is."""
        while not self._stopping:
            try:
                return await self._claim()
            except LeaseLost:
                continue
            except UnreadableRun as unreadable:
                await self._fail(unreadable.model_run_id, str(unreadable))
            except DATABASE_ERRORS as error:
                log.warning("claim_failed", error=type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)
        return None

    async def _take_over(self, group: asyncio.TaskGroup) -> None:
        """What dead workers have left, beside the lanes, which may all be busy for longer than anybody should wait."""
        places, serving = Places(self._settings.inference_batches_in_flight), set[asyncio.Task[None]]()
        most = _LEFT_BY_ONE * self._settings.inference_lanes
        while not self._stopping:
            claim = await self._patrol.look(self._find_left) if len(serving) < most else None
            if claim is None:
                await self._patrol.pause()
                continue
            task = group.create_task(self._serve(claim, Lane(places, self._stop_run, self._wake)))
            serving.add(task)
            task.add_done_callback(serving.discard)

    async def _find_left(self) -> Claim | None:
        async with self._parts.sessions() as session:
            driver = await driver_of(session)
            if not await segments.are_left(
                driver, self._settings.inference_purpose, self._settings.inference_lease_seconds
            ):
                return None
        try:
            return await self._claim(only_left=True)
        except UnreadableRun as unreadable:
            await self._fail(unreadable.model_run_id, str(unreadable))
            return None

    def _stop_run(self, lost: Claim) -> None:
        """It may be cancelled or paused: nothing more of it is sent. What is still held is given back."""
        for pipeline in self._pipelines.values():
            if pipeline.model_run_id == lost.model_run_id:
                pipeline.stop()

    async def _claim(self, *, only_left: bool = False) -> Claim | None:
        held = [claim.project_id for claim in self.held.values()]
        settings = self._settings
        wanted = Claimant(
            settings.inference_purpose, self._holder, settings.inference_lease_seconds, held, only_left=only_left
        )
        async with unit_of_work(self._parts.sessions, self._signals, ACTOR) as work:
            claim = await segments.claim(work, wanted)
        if claim is not None and claim.taken_over:
            TAKEOVERS.inc()
        return claim

    async def _serve(self, claim: Claim, lane: Lane) -> None:
        """One segment, from lease to end. Whatever happens to it, the lane goes on."""
        # By the trace that the run has in PostgreSQL: a doorbell may be lost.
        traced = span("segment", kind="consumer", parent=claim.traceparent or "", rows=len(claim.pending))
        with about(model_run_id=claim.model_run_id, segment_id=claim.segment_id), traced as now:
            now.set(model_run_id=str(claim.model_run_id), segment_id=str(claim.segment_id))
            log.info("segment_taken", rows=len(claim.pending), taken_over=claim.taken_over)
            await self._hold(claim, lane)

    async def _hold(self, claim: Claim, lane: Lane) -> None:
        task = asyncio.create_task(self._run(claim, lane))
        # By lease: while PostgreSQL was away another lane may take over what this one still holds.
        self.held[claim.lease], self._lanes[claim.lease] = claim, task
        SEGMENTS_HELD.set(len(self.held))
        try:
            await asyncio.wait({task})
            if task.cancelled() or isinstance(task.exception(), LeaseLost):
                LEASES_LOST.inc()
                log.info("lease_lost")
            elif (error := task.exception()) is not None:
                await self._give_back(claim, error)
        except asyncio.CancelledError:
            task.cancel()
            if self._stopping:
                await asyncio.wait({task})
                await self._part_from(claim)
            raise
        finally:
            task.cancel()
            del self.held[claim.lease], self._lanes[claim.lease]
            SEGMENTS_HELD.set(len(self.held))

    async def _run(self, claim: Claim, lane: Lane) -> None:
        try:
            done = await self._work_through(claim, lane)
        except ModelUnusable as unusable:
            await self._fail(claim.model_run_id, str(unusable))
            return
        async with unit_of_work(self._parts.sessions, self._signals, ACTOR) as work:
            if done:
                await segments.finish(work, claim)
            else:
                await segments.give_back(work.session, claim)
        log.info("segment_ended" if done else "segment_left")

    async def _work_through(self, claim: Claim, lane: Lane) -> bool:
        """True when every row has its outcome. Raises ModelUnusable when the run cannot go on."""
        claim = await reuse_known(self._parts, claim)
        if not claim.pending:
            return True
        model = await self.models.served(claim.configuration)
        await self._settle_places(claim, lane)
        pipeline = Pipeline(self._parts, claim, model, lane)
        self._pipelines[claim.lease] = pipeline
        if self._stopping:  # told to while the model was asked
            pipeline.stop()
        try:
            with self._parts.speed.at_work(claim.configuration.catalog_model_id):
                return await pipeline.run()
        finally:
            del self._pipelines[claim.lease]

    async def _settle_places(self, claim: Claim, lane: Lane) -> None:
        """By the instances of the model; a single lane must be able to keep all of them busy."""
        instances = await self._parts.servers.instances(claim.configuration)
        self._parts.calls.settle(claim.configuration.triton_model, instances)
        card = claim.configuration.card
        most = min(
            self._settings.inference_batches_in_flight,
            most_batches(card.inputs, card.max_batch_size, card.preprocessing),
        )
        if not is_quick(claim.rows_per_second, most * card.max_batch_size):
            most = min(most, ENOUGH)
        lane.places.limit = most * max((instances or 1) // 2, 1)

    async def _fail(self, model_run_id: UUID, reason: str) -> None:
        async with unit_of_work(self._parts.sessions, self._signals, ACTOR) as work:
            await runs.fail(work, model_run_id, reason)

    async def _give_back(self, claim: Claim, error: BaseException) -> None:
        log.warning("segment_given_back", error=f"{type(error).__name__}: {error}"[:300])
        if isinstance(error, ModelBroken):
            self.keeper.mend(claim.configuration.triton_model)
        elif isinstance(error, ModelAway):
            self.keeper.mend_if_silent(claim.configuration.triton_model)
        elif not isinstance(error, (PartAway, *DATABASE_ERRORS)):
            log.error("segment_failed", exc_info=error)
        await self._until_stored(lambda: self._leave(claim, error))
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _part_from(self, claim: Claim) -> None:
        """The drain is over. Who stops in peace must not look like one that a row has killed."""
        with suppress(TimeoutError, *DATABASE_ERRORS):
            async with asyncio.timeout(_PARTING_SECONDS):
                await self._leave(claim)

    async def _leave(self, claim: Claim, error: BaseException | None = None) -> None:
        async with unit_of_work(self._parts.sessions, self._signals, ACTOR) as work:
            left = await segments.give_back(work.session, claim)
            if left and isinstance(error, PartAway):
                await runs.stall(work, claim.model_run_id, error.part, error.reason())

    async def _wake(self, claim: Claim) -> None:
        async with unit_of_work(self._parts.sessions, self._signals, ACTOR) as work:
            await runs.wake(work, claim.model_run_id)

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
