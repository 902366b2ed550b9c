"""Deciding about a data row: decisions, labels, revision and event in one transaction."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from services.api.access.principal import Principal
from services.api.auto_accept.auditing import note_audits
from services.api.projections.reproject import Projector
from services.api.review import queries
from services.api.review.changes import Change, Resolver
from services.api.review.desk import Desk, check_open, open_desk
from services.api.review.proof import prove
from services.api.review.reading import read_review
from services.api.review.schemas import DataRowReview, DecisionsCreate
from services.api.review.submission import submit
from services.api.review.writing import Hand, write
from shared.contracts.review_events import DataRowDecided
from shared.database.alignments import read_alignment
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Problems


async def decide(
    work: UnitOfWork, principal: Principal, data_row_id: UUID, expected: int, wanted: DecisionsCreate
) -> DataRowReview:
    """The review afterwards. Raises PreconditionFailed, with the review as it is, for another revision."""
    desk = await open_desk(work.session, principal, data_row_id, expected)
    check_open(desk.review)
    problems = Problems()
    claimed = {
        index: pre_label_id
        for index, one in enumerate(wanted.decisions)
        if (pre_label_id := getattr(one, "pre_label_id", None)) is not None
    }
    seen = await prove(work.session, desk.data_row, claimed, problems)
    changes = Resolver(desk, seen, problems).resolve(wanted.decisions)

    now = await queries.database_time(work.session)
    raise_revision(desk, now, wanted.seconds)
    await write(work.session, Hand(principal.member_id, now, desk), changes)
    await see_again(work, desk, changes)
    await note_audits(work, desk.data_row)
    work.emit(decided_event(desk, changes))
    if wanted.submit:
        await submit(work, principal, desk, "/submit")
    await work.session.flush()
    return await read_review(work.session, desk.data_row)


def raise_revision(desk: Desk, now: queries.Moment, seconds: float | None = None) -> None:
    review = desk.review
    review.revision, review.updated_at = review.revision + 1, now
    if seconds is not None:
        review.seconds = (review.seconds or 0.0) + seconds


async def see_again(work: UnitOfWork, desk: Desk, changes: Sequence[Change]) -> None:
    """What is not decided any more is shown as the run's alignment says now, which may be not at all."""
    run_ids = {change.stood.model_run_id for change in changes if change.action == "undo" and change.stood}
    held = await queries.hold_runs(work.session, desk.data_row, [one for one in run_ids if one is not None])
    for run in held.values():
        projector = Projector(work.session, run, await read_alignment(work.session, run))
        await projector.refresh([desk.data_row.id])


def decided_event(desk: Desk, changes: Sequence[Change]) -> DataRowDecided:
    count = Counter(change.action for change in changes)
    row = desk.data_row
    return DataRowDecided(
        workspace_id=row.workspace_id,
        project_id=row.project_id,
        data_row_id=row.id,
        revision=desk.review.revision,
        accepted=count["accept"],
        rejected=count["reject"],
        edited=count["edit"],
        added=count["add"],
        deleted=count["delete"],
        undone=count["undo"],
    )
