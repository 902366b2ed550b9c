"""Measures how many rows a second this worker does of each model, while it works on it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.speeds import speed_of, write_speed
from shared.database.tables import CatalogModelRow
from shared.speed import Sample, Speed
from shared.telemetry import logger

_SAMPLE_SECONDS = 5.0
_IDLE_SECONDS = 1.0
_LEAST_SECONDS = 0.1
_LOOK_SECONDS = 0.5

log = logger(__name__)


@dataclass(slots=True)
class _Stretch:
    """Work on one model since its last sample. `pipelines` are those under way, `since` when that began or ended."""

    since: float
    pipelines: int = 0
    busy: float = 0.0
    rows: int = 0

    def advance(self, now: float) -> None:
        if self.pipelines:
            self.busy += now - self.since
            self.since = now


class Speedometer:
    """Time in which no pipeline works on a model does not count, nor does a pipeline that came to no good end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stretches: dict[UUID, _Stretch] = {}

    @contextmanager
    def at_work(self, catalog_model_id: UUID) -> Iterator[None]:
        stretch = self._stretches.setdefault(catalog_model_id, _Stretch(self._clock()))
        stretch.advance(self._clock())
        stretch.pipelines += 1
        stretch.since = self._clock()
        try:
            yield
        except BaseException:
            stretch.busy, stretch.rows = 0.0, 0  # it may have waited for a part that was away
            stretch.since = self._clock()
            raise
        finally:
            stretch.advance(self._clock())
            stretch.pipelines -= 1
            stretch.since = self._clock()

    def count(self, catalog_model_id: UUID, rows: int) -> None:
        """Rows that were stored just now."""
        stretch = self._stretches.get(catalog_model_id)
        if stretch is not None:
            stretch.rows += rows

    def take(self) -> dict[UUID, Sample]:
        """A sample of each model that was worked on long enough, or not any more."""
        now, found = self._clock(), {}
        for model_id, stretch in list(self._stretches.items()):
            stretch.advance(now)
            is_over = not stretch.pipelines and now - stretch.since >= _IDLE_SECONDS
            if stretch.busy >= _SAMPLE_SECONDS or is_over:
                if stretch.rows and stretch.busy >= _LEAST_SECONDS:
                    found[model_id] = Sample(stretch.rows, stretch.busy)
                stretch.busy, stretch.rows = 0.0, 0
            if is_over:
                del self._stretches[model_id]
        return found


async def report_speed(speedometer: Speedometer, sessions: Sessions) -> None:
    """Until cancelled: each sample into the catalog, in a transaction of its own."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        for model_id, sample in speedometer.take().items():
            try:
                async with sessions.begin() as session:
                    await add_sample(session, model_id, sample)
            except DATABASE_ERRORS as error:
                log.debug("speed_lost", error=type(error).__name__)


async def add_sample(session: AsyncSession, catalog_model_id: UUID, sample: Sample) -> None:
    model = await session.scalar(
        select(CatalogModelRow).where(CatalogModelRow.id == catalog_model_id).with_for_update()
    )
    if model is not None:
        known = speed_of(model)
        write_speed(model, known.after(sample) if known else Speed.first(sample))
