"""Showing a run that has ended by another alignment: at once, or as an operation where that would take long."""

from dataclasses import dataclass
from uuid import UUID

from services.api.access.principal import Principal
from services.api.etags import check_revision
from services.api.model_runs import queries
from services.api.model_runs.basis import find_ground
from services.api.model_runs.realigning import Present, realigned, with_thresholds
from services.api.model_runs.schemas import AlignmentUpdate
from services.api.projections.operation import KIND, Realignment, emit_realigned
from services.api.projections.reproject import add_version, reproject
from services.api.projects.queries import hold_project
from shared.contracts.events import TERMINAL_STATES
from shared.database.alignments import read_alignment
from shared.database.operations import NewOperation, add_operation
from shared.database.tables import ModelRunRow, OperationRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict
from shared.run_configuration import RunConfiguration


@dataclass(frozen=True, slots=True)
class Change:
    """`expected` is the version that the client saw."""

    model_run_id: UUID
    expected: int
    wanted: AlignmentUpdate


async def realign_model_run(
    work: UnitOfWork, principal: Principal, change: Change, at_once: int
) -> ModelRunRow | OperationRow:
    """The run with its new version, or the operation that will make it for more than `at_once` detections."""
    run = await queries.get_run(work.session, principal.workspace_id, change.model_run_id)
    # The project before the run, as everywhere: the ontology stays what the alignment is checked with.
    project = await hold_project(work.session, principal.workspace_id, run.project_id)
    await queries.lock_run(work.session, run)
    check_revision(change.expected, run.alignment_version)
    await _check_ended(work, run)
    present = await read_alignment(work.session, run)
    if run.configuration:
        configuration = RunConfiguration.model_validate(run.configuration)
        ground = await find_ground(work.session, project, configuration.card)
        entries = realigned(Present(present, configuration.criteria), change.wanted, ground)
    else:
        entries = with_thresholds(present, change.wanted)
    if entries == present.entries:
        return run
    if run.detections > at_once:
        version = await add_version(work, run, entries, principal.member_id)
        return await _add_operation(work, principal, run, version)
    await reproject(work, run, entries, principal.member_id)
    emit_realigned(work, run)
    return run


async def _check_ended(work: UnitOfWork, run: ModelRunRow) -> None:
    if run.state not in TERMINAL_STATES:
        raise Conflict(
            f"the run is {run.state}; its alignment changes once it has ended",
            code="run_not_ended",
            extra={"state": run.state, "allowed": sorted(TERMINAL_STATES)},
        )
    under_way = await queries.find_realignment(work.session, run)
    if under_way is not None:
        raise Conflict(
            "another change of this run's alignment is under way",
            code="realignment_under_way",
            extra={"operation_id": str(under_way)},
        )


async def _add_operation(work: UnitOfWork, principal: Principal, run: ModelRunRow, version: int) -> OperationRow:
    parameters = Realignment(model_run_id=run.id, version=version, replaces=run.alignment_version)
    return await add_operation(
        work,
        NewOperation(KIND, run.workspace_id, run.project_id, parameters.model_dump(mode="json"), principal.member_id),
    )
