"""The share of a project's data rows that gets no pre-labels, to measure what pre-labels change."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.draws import new_seed
from services.api.projects.queries import get_project, lock_project
from services.api.withholding import queries
from services.api.withholding.schemas import Withholding, WithholdingUpdate
from shared.database.tables import ProjectRow, WithholdingRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict


async def set_withholding(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: WithholdingUpdate
) -> Withholding:
    """Raises Conflict while something of the project is under way: it was drawn for with the share of before."""
    project = await lock_project(work.session, principal.workspace_id, project_id)
    row = await queries.find_withholding(work.session, project)
    if row is None or row.share != wanted.share:
        open_run = await queries.find_open_run(work.session, project)
        if open_run is not None:
            detail = "a run, preview or import of the project is under way; change the share when it has ended"
            raise Conflict(detail, code="run_not_ended", extra={"model_run_id": str(open_run)})
        await _set(work, principal, project, row, wanted.share)
    return await _shown(work.session, project)


async def get_withholding(session: AsyncSession, principal: Principal, project_id: UUID) -> Withholding:
    return await _shown(session, await get_project(session, principal.workspace_id, project_id))


async def _set(
    work: UnitOfWork, principal: Principal, project: ProjectRow, row: WithholdingRow | None, share: float
) -> None:
    # The seed stays: with a greater share the same rows are drawn, and more.
    if row is None:
        row = WithholdingRow(
            project_id=project.id,
            workspace_id=project.workspace_id,
            seed=new_seed(),
            created_by=principal.member_id,
        )
        work.session.add(row)
    row.share = share
    row.updated_at = (await work.session.execute(select(func.now()))).scalar_one()
    await work.session.flush()


async def _shown(session: AsyncSession, project: ProjectRow) -> Withholding:
    row = await queries.find_withholding(session, project)
    withheld, submitted = await queries.count_withheld(session, project)
    return Withholding(
        project_id=project.id,
        share=row.share if row else 0.0,
        withheld=withheld,
        submitted=submitted,
        created_at=row.created_at if row else None,
        updated_at=row.updated_at if row else None,
    )
