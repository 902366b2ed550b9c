"""The review queue: what to look at next, and who looks at it."""

import time
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal, Role
from services.api.paging import Paging
from services.api.projects.queries import get_project
from services.api.review.desk import check_open
from services.api.review.queries import get_data_row
from services.api.review_queue import queries
from services.api.review_queue.comparing import measure_disagreement
from services.api.review_queue.orders import ORDERS, Candidate, Key, Look
from services.api.review_queue.queries import Hold
from services.api.review_queue.schemas import (
    QueuedRow,
    QueueFilter,
    Reservation,
    ReservationUpdate,
    ReserveCreate,
)
from services.api.review_queue.showing import show
from shared.contracts.http import Page
from shared.database.tables import ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, NotFound, Problems

__all__ = [
    "list_review_queue",
    "measure_disagreement",
    "release_data_row",
    "reserve_data_row",
    "reserve_data_rows",
]

_MOST_ROWS = 100
_AT_ONCE = 20
_MOST_LOOKS = 20
_SLOW_SECONDS = 0.1


async def list_review_queue(
    session: AsyncSession, principal: Principal, project_id: UUID, wanted: QueueFilter, paging: Paging
) -> Page[QueuedRow]:
    """Reserves nothing; what others hold is left out."""
    project = await get_project(session, principal.workspace_id, project_id)
    await _check(session, project, wanted)
    size = min(paging.size, _MOST_ROWS)
    look = Look(project, principal.member_id, wanted, paging.after, size + 1)
    found: list[Candidate] = await ORDERS[wanted.order](session, look)
    items = await show(session, project, found[:size], wanted.model_run_id)
    return paging.page_with(items, found[size - 1].key if len(found) > size else None)


async def reserve_data_rows(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: ReserveCreate
) -> list[QueuedRow]:
    """What they hold already, held anew, and the next of the queue up to the count."""
    project = await get_project(work.session, principal.workspace_id, project_id)
    await _check(work.session, project, wanted)
    hold = Hold(project, principal.member_id, wanted.minutes)
    held = await queries.list_held(work.session, hold, wanted.count)
    kept = await queries.take(work.session, hold, held, wanted.count) if held else []
    taken = [Candidate(one, ()) for one in kept]
    if len(taken) < wanted.count:
        taken += await _take_next(work.session, hold, wanted, {one.data_row_id for one in taken})
    return await show(work.session, project, taken, wanted.model_run_id)


async def _take_next(session: AsyncSession, hold: Hold, wanted: ReserveCreate, held: set[UUID]) -> list[Candidate]:
    taken: list[Candidate] = []
    after: Key | None = None
    for _ in range(_MOST_LOOKS):
        missing = wanted.count - len(held) - len(taken)
        look = Look(hold.project, hold.member_id, wanted, after, missing + _AT_ONCE)
        began = time.monotonic()
        found: list[Candidate] = await ORDERS[wanted.order](session, look)
        if time.monotonic() - began > _SLOW_SECONDS:
            # Many who were submitted before stand at the head: once they are marked, the index passes them over.
            await queries.mark_submitted(session, hold.project)
        after = found[-1].key if found else None
        fresh = {one.data_row_id: one for one in found if one.data_row_id not in held}
        # A few at a time: each gets a review, which most of them would not need yet.
        ids = list(fresh)
        while ids and missing:
            part, ids = ids[:missing], ids[missing:]
            got = await queries.take(session, hold, part, missing)
            taken += [fresh[one] for one in got]
            missing -= len(got)
        if not missing or len(found) < look.limit:
            break
    return taken


async def reserve_data_row(
    work: UnitOfWork, principal: Principal, data_row_id: UUID, wanted: ReservationUpdate
) -> Reservation:
    """This one, for as long again. Raises Conflict while somebody else holds it, or when its review is submitted."""
    data_row = await get_data_row(work.session, principal.workspace_id, data_row_id)
    project = await get_project(work.session, principal.workspace_id, data_row.project_id)
    hold = Hold(project, principal.member_id, wanted.minutes)
    taken = await queries.take(work.session, hold, [data_row.id], 1)
    row = await queries.find_reservation(work.session, principal.workspace_id, data_row.id)
    if row is None:
        raise NotFound()
    if not taken:
        check_open(row)
        extra = {"reserved_until": row.reserved_until.isoformat() if row.reserved_until else None}
        raise Conflict("somebody else is reviewing this data row", code="reserved", extra=extra)
    assert row.reserved_until is not None
    return Reservation(data_row_id=data_row.id, reserved_by=principal.member_id, reserved_until=row.reserved_until)


async def release_data_row(work: UnitOfWork, principal: Principal, data_row_id: UUID) -> None:
    """One's own; editors may release anybody's. One that is not reserved stays so."""
    data_row = await get_data_row(work.session, principal.workspace_id, data_row_id)
    anybody = principal.role.allows(Role.EDITOR)
    await queries.release(work.session, data_row, principal.member_id, anybody=anybody)


async def _check(session: AsyncSession, project: ProjectRow, wanted: QueueFilter) -> None:
    """Raises Unprocessable for filters that name nothing of the project."""
    problems = Problems()
    if wanted.model_run_id and not await queries.find_runs(session, project, [wanted.model_run_id]):
        problems.add("/model_run_id", "unknown_model_run", "the project has no such run")
    if wanted.batch_id and not await queries.has_batch(session, project, wanted.batch_id):
        problems.add("/batch_id", "unknown_batch", "the project has no such batch")
    if wanted.feature_schema_id and not await queries.has_feature(session, project, wanted.feature_schema_id):
        problems.add("/feature_schema_id", "unknown_feature", "the project has no such feature")
    problems.raise_if_any("the queue cannot be filtered like this", code="invalid_filter")
