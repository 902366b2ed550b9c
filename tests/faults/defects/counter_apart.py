"""A segment's counters are written after the rows are committed, in a transaction of its own."""

import asyncio
from typing import Any

import sqlalchemy.event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from services.inference import results
from tests.faults.defects.base import close_whatever_is_left


def apply() -> None:
    close_whatever_is_left()
    count = results._count

    async def count_apart(session: AsyncSession, *rest: Any) -> None:
        sessions = async_sessionmaker(session.bind)

        async def later() -> None:
            async with sessions.begin() as another:
                await count(another, *rest)

        def committed(of: object) -> None:
            del of
            _under_way.add(asyncio.get_running_loop().create_task(later()))

        sqlalchemy.event.listen(session.sync_session, "after_commit", committed, once=True)

    setattr(results, "_count", count_apart)  # noqa: B010


_under_way: set[asyncio.Task[None]] = set()
