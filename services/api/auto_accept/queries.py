"""Policies and their audits: what is read and written. Those of deleted projects are not found."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.operations import ENDED
from shared.database.tables import OperationRow, PolicyAuditRow, PolicyRow, ProjectRow
from shared.errors import NotFound

_AUDITED_HERE = text("""
    SELECT DISTINCT policy_id FROM policy_audits WHERE workspace_id = :workspace AND data_row_id = :row
""")

# What stands now about each audit of a data row: a judgement of a person who looked, or nothing.
_NOTE = text("""
    UPDATE policy_audits a
    SET decision_id = now.decision_id, is_right = now.is_right
    FROM (
        SELECT b.model_run_id, b.ordinal, d.id AS decision_id,
               CASE d.action
                   WHEN 'accept' THEN true
                   WHEN 'edit' THEN NOT CAST(d.difference ->> 'feature_changed' AS boolean)
                       AND coalesce(CAST(d.difference ->> 'likeness' AS float8), 0) >= p.same_from
                   WHEN 'reject' THEN false
               END AS is_right
        FROM policy_audits b
        JOIN policies p ON p.id = b.policy_id
        LEFT JOIN decisions d ON d.model_run_id = b.model_run_id AND d.data_row_id = b.data_row_id
            AND d.ordinal = b.ordinal AND d.feature_schema_id = p.feature_schema_id AND NOT d.undone
            AND d.action IN ('accept', 'edit', 'reject') AND d.operation_id IS NULL AND d.policy_id IS NULL
        WHERE b.policy_id = :policy AND b.workspace_id = :workspace AND b.data_row_id = :row
    ) now
    WHERE a.policy_id = :policy AND a.workspace_id = :workspace AND a.data_row_id = :row
      AND a.model_run_id = now.model_run_id AND a.ordinal = now.ordinal
      AND a.decision_id IS DISTINCT FROM now.decision_id
""")

_WINDOW = text("""
    SELECT count(*), count(*) FILTER (WHERE NOT is_right)
    FROM (
        SELECT is_right FROM policy_audits
        WHERE policy_id = :policy AND workspace_id = :workspace AND decision_id IS NOT NULL
        ORDER BY decision_id DESC LIMIT :window
    ) latest
""")


@dataclass(frozen=True, slots=True)
class Window:
    judged: int
    wrong: int


async def get_policy(session: AsyncSession, workspace_id: UUID, policy_id: UUID) -> PolicyRow:
    """Raises NotFound for one of another workspace."""
    row = await session.scalar(_policies(workspace_id).where(PolicyRow.id == policy_id))
    if row is None:
        raise NotFound()
    return row


async def list_policies(session: AsyncSession, project: ProjectRow, before: UUID | None, limit: int) -> list[PolicyRow]:
    """Newest first."""
    wanted = _policies(project.workspace_id).where(PolicyRow.project_id == project.id)
    if before is not None:
        wanted = wanted.where(PolicyRow.id < before)
    return list(await session.scalars(wanted.order_by(PolicyRow.id.desc()).limit(limit)))


async def lock_policy(session: AsyncSession, policy: PolicyRow) -> None:
    """Held as it is now. After reviews and the run, before streams."""
    await session.refresh(policy, with_for_update=True)


async def lock_active_policies_of(session: AsyncSession, workspace_id: UUID, data_row_id: UUID) -> list[PolicyRow]:
    """Those that have an audit on this data row, by id."""
    ids = list(await session.scalars(_AUDITED_HERE, {"workspace": workspace_id, "row": data_row_id}))
    if not ids:
        return []
    found = await session.scalars(
        select(PolicyRow)
        .where(PolicyRow.workspace_id == workspace_id, PolicyRow.id.in_(ids), PolicyRow.state == "active")
        .order_by(PolicyRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(found)


async def note_verdicts(session: AsyncSession, policy: PolicyRow, data_row_id: UUID) -> None:
    await session.execute(_NOTE, {"policy": policy.id, "workspace": policy.workspace_id, "row": data_row_id})


async def look_at_window(session: AsyncSession, policy: PolicyRow) -> Window:
    of = {"policy": policy.id, "workspace": policy.workspace_id, "window": policy.window_audits}
    judged, wrong = (await session.execute(_WINDOW, of)).one()
    return Window(judged, wrong)


async def count_audits(session: AsyncSession, policy: PolicyRow) -> tuple[int, int]:
    """Those drawn, and those of them that are judged."""
    found = await session.execute(
        select(func.count(), func.count(PolicyAuditRow.decision_id)).where(
            PolicyAuditRow.workspace_id == policy.workspace_id, PolicyAuditRow.policy_id == policy.id
        )
    )
    drawn, judged = found.one()
    return drawn, judged


async def add_audits(
    session: AsyncSession, policy: PolicyRow, model_run_id: UUID, places: Sequence[tuple[UUID, int]]
) -> None:
    """By data row and ordinal; one that is there already stays."""
    if not places:
        return
    rows = [
        {
            "policy_id": policy.id,
            "workspace_id": policy.workspace_id,
            "model_run_id": model_run_id,
            "data_row_id": data_row_id,
            "ordinal": ordinal,
        }
        for data_row_id, ordinal in places
    ]
    await session.execute(insert(PolicyAuditRow).on_conflict_do_nothing(), rows)


async def find_application(session: AsyncSession, policy: PolicyRow, kind: str) -> UUID | None:
    """An operation that applies it now."""
    return await session.scalar(
        select(OperationRow.id)
        .where(
            OperationRow.workspace_id == policy.workspace_id,
            OperationRow.kind == kind,
            OperationRow.state.not_in(ENDED),
            OperationRow.parameters["policy_id"].astext == str(policy.id),
        )
        .limit(1)
    )


def _policies(workspace_id: UUID) -> Select[PolicyRow]:
    return (
        select(PolicyRow)
        .join(ProjectRow, ProjectRow.id == PolicyRow.project_id)
        .where(PolicyRow.workspace_id == workspace_id, ProjectRow.deleted_at.is_(None))
    )
