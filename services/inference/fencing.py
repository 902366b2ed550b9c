"""Who stands still in a transaction keeps its segment's row locked, and nobody can take the segment over.

A stopped process, or a machine that is gone without a word: once its lease has run out its connection is ended. No
time limit of PostgreSQL does it: a COPY that waits for its client is ended by none.
"""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.telemetry import logger

_LOOKS_A_LEASE = 10

log = logger(__name__)

# Whoever locked a row last stands in its `xmax`. Only transactions that began while the lease still ran, and are not
# young: those that lock the segment to take it over or to cancel it are neither.
_CUT_OFF = text("""
    SELECT s.id, a.application_name, pg_terminate_backend(a.pid)
    FROM segments s
    JOIN pg_locks l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = s.xmax
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE s.state = 'leased' AND s.heartbeat_at < now() - make_interval(secs => :lease)
      AND a.xact_start < s.heartbeat_at + make_interval(secs => :lease)
      AND a.xact_start < now() - make_interval(secs => :lease / 2)
      AND a.pid <> pg_backend_pid()
""")


async def cut_off(session: AsyncSession, lease_seconds: float) -> int:
    """End the connections that keep what they have no lease for any more; says how many."""
    found = (await session.execute(_CUT_OFF, {"lease": lease_seconds})).all()
    for segment_id, application, _ in found:
        log.warning("silent_holder_cut_off", segment=str(segment_id), application=application)
    return len(found)


async def keep_cutting_off(sessions: Sessions, lease_seconds: float) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(lease_seconds / _LOOKS_A_LEASE)
        try:
            async with sessions.begin() as session:
                await cut_off(session, lease_seconds)
        except DATABASE_ERRORS as error:
            log.warning("fencing_failed", error=type(error).__name__)
