"""What a run would do and how long it would take, before it is submitted. Nothing is written."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.model_runs import queries
from services.api.model_runs.estimate_schemas import (
    EstimatedDuration,
    MeasuredSpeed,
    RunEstimate,
    SkippedRows,
    SkipReason,
)
from services.api.model_runs.reused import count_reused
from services.api.model_runs.schemas import ModelRunCreate
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
    found = await queries.count_rows(session, selection)
    labeled, submitted = (found.labeled, found.submitted) if selection.only_unlabeled else (0, 0)
    to_do = found.selected - labeled - submitted
    rows = to_do if selection.limit is None else min(to_do, selection.limit)
    check_total(wanted, rows)
    reasons: tuple[tuple[SkipReason, int], ...] = (
        ("already_labeled", labeled),
        ("review_submitted", submitted),
        ("beyond_limit", to_do - rows),
    )
    reused = await count_reused(session, submission, rows) if wanted.reuse else 0
    model = submission.basis.model
    speed = speed_of(model)
    return RunEstimate(
        model_id=model.id,
        selected=found.selected,
        rows=rows,
        reused=reused,
        skipped=[SkippedRows(reason=reason, rows=count) for reason, count in reasons if count],
        duration=EstimatedDuration.of(speed.duration(rows - reused)) if speed else None,
        duration_reason=None if speed else NEVER_MEASURED,
        speed=MeasuredSpeed.of(speed) if speed else None,
    )
