"""Re-projection: all rows of a run seen through a new alignment, then one switch. No model is asked."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.projections import writing
from services.api.projections.reading import Reader
from services.api.projections.seeing import see
from shared.alignment import Alignment, AlignmentEntry
from shared.database.alignments import add_alignment
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork

_LATE_AT_ONCE = 200
_FORGET_AT_ONCE = 20_000


async def reproject(work: UnitOfWork, run: ModelRunRow, entries: Sequence[AlignmentEntry], member_id: UUID) -> None:
    """Show a run or preview by these entries, at once: for up to some ten thousand detections.

    It is held (FOR UPDATE) and has ended. Afterwards it has the next alignment version; the event is the caller's.
    """
    version = await add_version(work, run, entries, member_id)
    projector = Projector(work.session, run, Alignment(version=version, entries=tuple(entries)))
    while await projector.forget():
        pass
    last = None
    while (step := await projector.project(last)) is not None:
        last, _ = step
    await projector.switch()


async def add_version(work: UnitOfWork, run: ModelRunRow, entries: Sequence[AlignmentEntry], member_id: UUID) -> int:
    """Store the next version of the alignment, which nobody sees yet."""
    version = await writing.next_version(work.session, run)
    add_alignment(work.session, run, entries, member_id, version)
    await work.session.flush()
    return version


class Projector:
    """The parts of a re-projection, each safe in a transaction of its own that has begun."""

    def __init__(self, session: AsyncSession, run: ModelRunRow, alignment: Alignment) -> None:
        self._session = session
        self.run = run
        self._alignment = alignment
        self._reader = Reader(session, run, alignment)

    async def forget(self) -> bool:
        """Remove what versions before the present one have stored; True when there may be more."""
        versions = (self.run.alignment_version, self._alignment.version)
        return await writing.forget_others(self._session, self.run, versions, _FORGET_AT_ONCE)

    async def project(self, last: UUID | None) -> tuple[UUID, int] | None:
        """Store the rows after `last`: the last of them and the number of their detections, or None at the end."""
        rows = await self._reader.rows_after(last)
        if not rows:
            return None
        seen = [(row, see(row.detections, self._alignment, row.decided)) for row in rows]
        await writing.store(self._session, self.run, self._alignment.version, seen)
        return rows[-1].data_row_id, sum(len(row.detections) for row in rows)

    async def switch(self) -> None:
        """For a held run: nobody decides about it now. What was decided meanwhile is caught up with first."""
        version, run = self._alignment.version, self.run
        # Nobody reviews a preview, though its data rows may be under review.
        while run.purpose != "preview" and (
            late := await writing.reviewed_since(self._session, run, version, _LATE_AT_ONCE)
        ):
            await self.refresh(late)
        await writing.switch(self._session, run, version)

    async def refresh(self, data_row_ids: Sequence[UUID]) -> None:
        """See these data rows again, after decisions about them. The ledger does not change by that."""
        rows = await self._reader.these(data_row_ids)
        seen = [(row, see(row.detections, self._alignment, row.decided)) for row in rows]
        await writing.forget_rows(self._session, self.run, self._alignment.version, data_row_ids)
        await writing.store_rows(self._session, self.run, self._alignment.version, seen)
