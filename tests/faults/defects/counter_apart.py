"""A segment's counters are written after the rows are committed, in a transaction of its own."""

import asyncio

from services.inference import writing
from services.inference.results import Outcomes
from shared.database.driver import Driver, driver_transaction
from shared.database.engine import Sessions
from tests.faults.defects.base import close_whatever_is_left


def apply() -> None:
    close_whatever_is_left()
    count, store = writing._count, writing.store

    async def count_nothing(driver: Driver, outcomes: Outcomes) -> None:
        del driver, outcomes

    async def store_and_count_later(sessions: Sessions, outcomes: Outcomes) -> None:
        async def later() -> None:
            async with driver_transaction(sessions) as driver:
                await count(driver, outcomes)

        await store(sessions, outcomes)
        _under_way.add(asyncio.create_task(later()))

    writing._count = count_nothing
    writing.store = store_and_count_later


_under_way: set[asyncio.Task[None]] = set()
