"""What a run would do and how long it would take, before it is submitted. Nothing is written."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.model_runs import queries
from services.api.model_runs.schemas import EstimatedDuration, MeasuredSpeed, ModelRunCreate, RunEstimate, SkippedRows
from services.api.model_runs.submission import check_submission, check_total
from services.api.projects.queries import get_project
from shared.database.speeds import speed_of

NEVER_MEASURED = "never_measured"


async def estimate_model_run(
    session: AsyncSession, principal: Principal, project_id: UUID, wanted: ModelRunCreate
) -> RunEstimate:
    """Raises what a submit would."""
    project = await get_project(session, principal.workspace_id, project_id)
    submission = await check_submission(session, project, wanted)
    selection = submission.selection
    to_do = await queries.count_rows(session, selection)
    selected = await queries.count_rows(session, replace(selection, only_unlabeled=False))
    rows = to_do if selection.limit is None else min(to_do, selection.limit)
    check_total(wanted, rows)
    skipped = [
        SkippedRows(reason=reason, rows=count)
        for reason, count in (("already_labeled", selected - to_do), ("beyond_limit", to_do - rows))
        if count
    ]
    model = submission.basis.model
    speed = speed_of(model)
    return RunEstimate(
        model_id=model.id,
        selected=selected,
        rows=rows,
        skipped=skipped,
        duration=EstimatedDuration.of(speed.duration(rows)) if speed else None,
        duration_reason=None if speed else NEVER_MEASURED,
        speed=MeasuredSpeed.of(speed) if speed else None,
    )
