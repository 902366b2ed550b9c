"""Group commit: batches that are finished while a commit is under way are stored together in the next one.

Of one segment only one transaction can write at a time anyway, since each begins with the segment's lock.
"""

import asyncio
from typing import TypeAlias

import asyncpg

from services.inference import results
from services.inference.failures import Unstorable
from services.inference.machinery import Machinery
from services.inference.metrics import ROWS, count_failed, timed
from services.inference.results import Outcomes
from services.inference.segments import Claim, LeaseLost
from shared.database.engine import DATABASE_ERRORS

_Waiting: TypeAlias = tuple[Outcomes, asyncio.Future[None]]


class Storing:
    """Of one claim."""

    def __init__(self, parts: Machinery, claim: Claim) -> None:
        self._parts = parts
        self._claim = claim
        self._turn = asyncio.Lock()
        self._waiting: list[_Waiting] = []

    async def store(self, outcomes: Outcomes) -> None:
        """Returns when they are committed. Raises LeaseLost, Unstorable, or what a lost connection raises."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((outcomes, stored))
        async with self._turn:
            if not stored.done():
                await self._store_waiting()
        await stored

    async def _store_waiting(self) -> None:
        group, self._waiting = self._waiting, []
        try:
            await self._store_group(group)
        finally:
            for _, stored in group:  # only when this task was cancelled
                stored.cancel()

    async def _store_group(self, group: list[_Waiting]) -> None:
        try:
            await self._write([outcomes for outcomes, _ in group])
        except Exception as error:  # whoever waits for it is told
            if len(group) == 1 or isinstance(error, (LeaseLost, *DATABASE_ERRORS)):
                for _, stored in group:
                    _refuse(stored, error)
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
            async with self._parts.sessions.begin() as session:
                await timed("store", results.store(session, outcomes))
        except asyncpg.DataError as error:
            raise Unstorable(f"PostgreSQL does not take it: {type(error).__name__}") from error
        self._parts.speed.count(self._claim.configuration.catalog_model_id, outcomes.succeeded + outcomes.failed)
        ROWS.labels("succeeded").inc(outcomes.succeeded)
        ROWS.labels("failed").inc(outcomes.failed)
        count_failed(outcomes.failures)


def _refuse(stored: asyncio.Future[None], error: Exception) -> None:
    if not stored.done():
        stored.set_exception(error)
        stored.exception()  # whoever waits for it may be gone
