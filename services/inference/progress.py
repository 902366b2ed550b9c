"""How far the runs this worker serves are: summed from segments, last value wins, at most five a second a run."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy import func, select

from services.inference.segments import Claim, Lease
from shared.contracts.progress import Progress
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.tables import ModelRunRow, SegmentRow
from shared.hints import Hints
from shared.telemetry import logger

_INTERVAL_SECONDS = 0.25
_WINDOW_SECONDS = 10.0
_LOSSES: tuple[type[Exception], ...] = (RedisError, *DATABASE_ERRORS)

log = logger(__name__)


@dataclass(slots=True)
class _Rate:
    """Rows a second over the last ten seconds."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def at(self, now: float, done: int) -> float | None:
        self.seen.append((now, done))
        while now - self.seen[0][0] > _WINDOW_SECONDS:
            self.seen.popleft()
        since, before = self.seen[0]
        return (done - before) / (now - since) if now - since >= _INTERVAL_SECONDS and done > before else None


class ProgressReporter:
    def __init__(self, sessions: Sessions, hints: Hints) -> None:
        self._sessions = sessions
        self._hints = hints
        self._rates: dict[UUID, _Rate] = {}
        self._sent: dict[UUID, tuple[int, int]] = {}

    async def report(self, claims: list[Claim]) -> None:
        """One message for each run among them that moved since the last."""
        runs = {claim.model_run_id: claim for claim in claims}
        self._rates = {run: rate for run, rate in self._rates.items() if run in runs}
        for claim in runs.values():
            progress = await self._progress(claim)
            if progress is None or self._sent.get(claim.model_run_id) == (progress.done, progress.failed):
                continue
            if await self._hints.progress(progress):
                self._sent[claim.model_run_id] = (progress.done, progress.failed)
        self._sent = {run: sent for run, sent in self._sent.items() if run in runs}

    async def _progress(self, claim: Claim) -> Progress | None:
        async with self._sessions() as session:
            run = await session.get(ModelRunRow, claim.model_run_id)
            sums = select(func.sum(SegmentRow.succeeded + SegmentRow.skipped), func.sum(SegmentRow.failed))
            good, failed = (await session.execute(sums.where(SegmentRow.model_run_id == claim.model_run_id))).one()
        if run is None:
            return None
        done = (good or 0) + (failed or 0)
        rate = self._rates.setdefault(claim.model_run_id, _Rate()).at(time.monotonic(), done)
        return Progress(
            workspace_id=claim.workspace_id,
            project_id=claim.project_id,
            model_run_id=claim.model_run_id,
            purpose=run.purpose,
            execution=run.execution,
            done=done,
            total=run.total,
            failed=failed or 0,
            rows_per_second=round(rate, 2) if rate else None,
            eta_seconds=round((run.total - done) / rate, 1) if rate else None,
        )


async def report_progress(reporter: ProgressReporter, held: dict[Lease, Claim]) -> None:
    """Until cancelled. Progress may be lost; the terminal event carries the exact counts."""
    while True:
        await asyncio.sleep(_INTERVAL_SECONDS)
        try:
            await reporter.report(list(held.values()))
        except _LOSSES as error:
            log.debug("progress_lost", error=type(error).__name__)
