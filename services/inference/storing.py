"""Group commit: batches that are finished while a commit is under way are stored together in the next one.

Of one segment only one transaction can write at a time anyway, since each begins with the segment's lock. What a commit
costs is shared by its batches, so one waits a moment for those that are under way.
"""

import asyncio
from contextlib import suppress
from typing import TypeAlias

import asyncpg

from services.inference import writing
from services.inference.failures import Unstorable
from services.inference.machinery import Machinery
from services.inference.metrics import ROWS, count_failed, timed
from services.inference.patience import patiently
from services.inference.results import Outcomes
from services.inference.segments import Claim, LeaseLost
from shared.database.engine import DATABASE_ERRORS

_GATHER_SECONDS = 0.04

_Waiting: TypeAlias = tuple[Outcomes, asyncio.Future[None]]


class Storing:
    """Of one claim. `enough` batches wait for no other: those that wait must not keep the next from being prepared."""

    def __init__(self, parts: Machinery, claim: Claim, enough: int) -> None:
        self._parts = parts
        self._claim = claim
        self._enough = enough
        self._turn = asyncio.Lock()
        self._waiting: list[_Waiting] = []
        self._under_way = 0
        self._changed = asyncio.Event()

    def begins(self) -> None:
        """Something that will be stored soon: what is stored meanwhile may wait a moment for it."""
        self._under_way += 1

    def ends(self) -> None:
        self._under_way -= 1
        self._changed.set()

    async def store(self, outcomes: Outcomes) -> None:
        """Returns when they are committed. Raises LeaseLost, Unstorable, or what a lost connection raises; for what a
        model said ModelUnusable, too, or PartAway."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((outcomes, stored))
        self._changed.set()
        async with self._turn:
            if not stored.done():
                await self._gather()
                await self._store_waiting()
        await stored

    async def _gather(self) -> None:
        """Until all that is under way is here, or enough, or a moment has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GATHER_SECONDS):
                while len(self._waiting) < min(self._under_way, self._enough):
                    self._changed.clear()
                    await self._changed.wait()

    async def _store_waiting(self) -> None:
        group, self._waiting = self._waiting, []
        try:
            if any(outcomes.succeeded for outcomes, _ in group):
                await self._confirm()
            await self._store_group(group)
        except Exception as error:  # whoever waits for it is told
            _refuse(group, error)
        finally:
            for _, stored in group:  # only when this task was cancelled
                stored.cancel()

    async def _confirm(self) -> None:
        """That what the model said came from the run's version: asked after the last answer, before the commit."""
        configuration = self._claim.configuration
        patience = self._parts.settings.inference_patience_seconds
        await patiently(patience, lambda: self._parts.servers.confirm(configuration))

    async def _store_group(self, group: list[_Waiting]) -> None:
        try:
            await self._write([outcomes for outcomes, _ in group])
        except Exception as error:  # whoever waits for it is told
            if len(group) == 1 or isinstance(error, (LeaseLost, *DATABASE_ERRORS)):
                _refuse(group, error)
                return
            for one in group:  # what cannot be stored costs none of the others
                await self._store_group([one])
        else:
            for _, stored in group:
                if not stored.done():
                    stored.set_result(None)

    async def _write(self, parts: list[Outcomes]) -> None:
        outcomes = Outcomes.together(parts)
        try:
            await timed("store", writing.store(self._parts.sessions, outcomes))
        except asyncpg.DataError as error:
            raise Unstorable(f"PostgreSQL does not take it: {type(error).__name__}") from error
        self._parts.speed.count(self._claim.configuration.catalog_model_id, outcomes.rows)
        ROWS.labels("succeeded").inc(outcomes.succeeded)
        ROWS.labels("failed").inc(outcomes.failed)
        count_failed(outcomes.failures)


def _refuse(group: list[_Waiting], error: Exception) -> None:
    for _, stored in group:
        if not stored.done():
            stored.set_exception(error)
            stored.exception()  # whoever waits for it may be gone
