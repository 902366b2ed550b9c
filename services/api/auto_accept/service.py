"""Accepting without a look, as long as audits show that it may."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.auto_accept import queries
from services.api.auto_accept.apply import KIND
from services.api.auto_accept.auditing import guard_of
from services.api.auto_accept.guard import Guard, usual_window
from services.api.auto_accept.schemas import (
    LONGEST_WINDOW,
    Policy,
    PolicyApply,
    PolicyAudits,
    PolicyCreate,
    PolicyNotice,
    PolicyWork,
)
from services.api.draws import new_seed
from services.api.model_runs.queries import database_time, get_run
from services.api.paging import Paging
from services.api.projects.queries import get_project, hold_project, list_features
from shared.contracts.events import TERMINAL_STATES
from shared.database.operations import NewOperation, add_operation
from shared.database.tables import ModelRunRow, OperationRow, PolicyRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, Problems
from shared.ids import new_id

_FALLEN = (0.5, 0.8, 0.9)


async def create_policy(work: UnitOfWork, principal: Principal, project_id: UUID, wanted: PolicyCreate) -> Policy:
    """Raises Unprocessable for a feature the project does not have, and for a window too short to say anything."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    window = wanted.window_audits or min(usual_window(wanted.target_precision, wanted.confidence), LONGEST_WINDOW)
    problems = Problems()
    await _check_target(work.session, project, wanted, problems)
    if not Guard(wanted.target_precision, wanted.confidence, window).is_possible:
        detail = "so few audits could not show this precision with this confidence, were they all right"
        problems.add("/window_audits", "window_too_short", detail)
    problems.raise_if_any("the policy cannot be made like this", code="invalid_policy")
    row = PolicyRow(
        **wanted.model_dump(exclude={"window_audits"}),
        id=new_id(),
        workspace_id=project.workspace_id,
        project_id=project.id,
        window_audits=window,
        seed=new_seed(),
        created_by=principal.member_id,
    )
    work.session.add(row)
    await work.session.flush()
    await work.session.refresh(row)
    return await shown(work.session, row)


async def list_policies(session: AsyncSession, principal: Principal, project_id: UUID, paging: Paging) -> list[Policy]:
    project = await get_project(session, principal.workspace_id, project_id)
    rows = await queries.list_policies(session, project, paging.after_id, paging.fetch)
    return [await shown(session, row) for row in rows]


async def get_policy(session: AsyncSession, principal: Principal, policy_id: UUID) -> Policy:
    return await shown(session, await queries.get_policy(session, principal.workspace_id, policy_id))


async def withdraw_policy(work: UnitOfWork, principal: Principal, policy_id: UUID) -> Policy:
    """What it has accepted stays. Raises Conflict for one that has ended."""
    row = await queries.get_policy(work.session, principal.workspace_id, policy_id)
    await queries.lock_policy(work.session, row)
    _check_active(row)
    row.state, row.ended_at = "withdrawn", await database_time(work.session)
    await work.session.flush()
    return await shown(work.session, row)


async def apply_policy(work: UnitOfWork, principal: Principal, policy_id: UUID, wanted: PolicyApply) -> OperationRow:
    """Raises Conflict for a policy that has ended, and for a run that has not or that shows nothing."""
    row = await queries.get_policy(work.session, principal.workspace_id, policy_id)
    project = await hold_project(work.session, principal.workspace_id, row.project_id)
    run = await get_run(work.session, principal.workspace_id, wanted.model_run_id)
    await queries.lock_policy(work.session, row)
    _check_active(row)
    _check_run(row, run)
    under_way = await queries.find_application(work.session, row, KIND)
    if under_way is not None:
        raise Conflict(
            "the policy is being applied already", code="policy_under_way", extra={"operation_id": str(under_way)}
        )
    parameters = PolicyWork(
        policy_id=row.id,
        model_run_id=run.id,
        alignment_version=run.alignment_version,
        requested_at=await database_time(work.session),
    )
    return await add_operation(
        work,
        NewOperation(KIND, project.workspace_id, project.id, parameters.model_dump(mode="json"), principal.member_id),
    )


async def shown(session: AsyncSession, row: PolicyRow) -> Policy:
    guard = guard_of(row)
    drawn, judged = await queries.count_audits(session, row)
    window = await queries.look_at_window(session, row)
    audits = PolicyAudits(
        drawn=drawn,
        judged=judged,
        window_judged=window.judged,
        window_wrong=window.wrong,
        allowed_wrong=guard.allowed,
        precision=(window.judged - window.wrong) / window.judged if window.judged else None,
        lower_bound=guard.bound(window.judged, window.wrong) if window.judged else None,
    )
    notices = [
        PolicyNotice(precision=one, within_audits=guard.audits_to_stop(one))
        for one in _FALLEN
        if one < row.target_precision
    ]
    stored = set(Policy.model_fields) - {"audits", "notices"}
    return Policy.model_validate(
        {**{name: getattr(row, name) for name in stored}, "audits": audits, "notices": notices}
    )


async def _check_target(session: AsyncSession, project: ProjectRow, wanted: PolicyCreate, problems: Problems) -> None:
    present = {row.id: row for row in await list_features(session, project) if row.removed_in_version is None}
    feature = present.get(wanted.feature_schema_id)
    if feature is None or feature.parent_id is not None or feature.type is None:
        detail = "the project has no such tool or classification"
        problems.add("/feature_schema_id", "unknown_feature", detail)
    elif wanted.option_id is not None:
        option = present.get(wanted.option_id)
        if option is None or option.parent_id != feature.id or option.type is not None:
            problems.add("/option_id", "unknown_option", f"{feature.name!r} has no such option")


def _check_active(row: PolicyRow) -> None:
    if row.state != "active":
        raise Conflict(
            f"the policy is {row.state}, for good; make a new one, which begins with no audits",
            code="policy_ended",
            extra={"state": row.state},
        )


def _check_run(row: PolicyRow, run: ModelRunRow) -> None:
    if run.project_id != row.project_id:
        raise Conflict("the run is of another project", code="other_project")
    if row.catalog_model_id not in {None, run.catalog_model_id}:
        raise Conflict("the policy is about runs of another model version", code="other_model")
    if run.state not in TERMINAL_STATES:
        extra = {"state": run.state, "allowed": sorted(TERMINAL_STATES)}
        raise Conflict(
            f"the run is {run.state}; a policy is applied once it has ended", code="run_not_ended", extra=extra
        )
    if run.hides_pending:
        raise Conflict("the run was undone or discarded, so nothing of it is pending", code="run_undone")
