"""How much waits for workers, from PostgreSQL: the same numbers at each worker, a few seconds old."""

import asyncio
from typing import get_args

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.inference.metrics import OPEN_SEGMENTS, QUEUE_AGE, ROWS_TO_DO, RUNS
from shared.contracts.event import RunPurpose
from shared.contracts.run_verbs import OPEN
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.telemetry import logger

_INTERVAL_SECONDS = 10.0
_PURPOSES = tuple(purpose for purpose in get_args(RunPurpose) if purpose != "import")

log = logger(__name__)

# Over open runs alone, by their own counters; a segment's rows are not counted one by one.
_OPEN_RUNS = text("""
    SELECT r.purpose, r.state, count(*) AS runs, sum(r.total - r.succeeded - r.failed - r.skipped) AS rows,
           coalesce(sum(s.open), 0) AS segments,
           max(extract(epoch FROM now() - coalesce(r.served_at, r.created_at)))
               FILTER (WHERE s.open > 0 AND r.state <> 'stalled' AND r.waiting_for IS NULL) AS age
    FROM model_runs r
    CROSS JOIN LATERAL (
        SELECT count(*) AS open FROM segments s WHERE s.model_run_id = r.id AND s.state = 'open'
    ) s
    WHERE r.state IN ('queued', 'running', 'stalled')
    GROUP BY r.purpose, r.state
""")


async def report_backlog(sessions: Sessions) -> None:
    """Until cancelled."""
    while True:
        try:
            async with sessions() as session:
                await look_at_backlog(session)
        except DATABASE_ERRORS as error:
            log.debug("backlog_unknown", error=type(error).__name__)
        await asyncio.sleep(_INTERVAL_SECONDS)


async def look_at_backlog(session: AsyncSession) -> None:
    found = {(row.purpose, row.state): row for row in await session.execute(_OPEN_RUNS)}
    for purpose in _PURPOSES:
        rows = [found[purpose, state] for state in sorted(OPEN) if (purpose, state) in found]
        for state in sorted(OPEN):
            RUNS.labels(purpose, state).set(found[purpose, state].runs if (purpose, state) in found else 0)
        ROWS_TO_DO.labels(purpose).set(sum(row.rows for row in rows))
        OPEN_SEGMENTS.labels(purpose).set(sum(row.segments for row in rows))
        QUEUE_AGE.labels(purpose).set(max((row.age for row in rows if row.age is not None), default=0))
