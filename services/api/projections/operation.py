"""Re-projection of a run too large for a request: some thousand detections a step, then the switch."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from services.api.projections import writing
from services.api.projections.reproject import Projector
from shared.contracts.events import TERMINAL_STATES, ModelRunRealigned
from shared.database.alignments import read_alignment
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, NotFound
from shared.operations import RunningOperation

KIND = "realign_model_run"


class Realignment(BaseModel):
    """`version` is stored already and shown by nobody; it is to replace `replaces`."""

    model_config = ConfigDict(protected_namespaces=())

    model_run_id: UUID
    version: int
    replaces: int


def emit_realigned(work: UnitOfWork, run: ModelRunRow) -> None:
    work.emit(
        ModelRunRealigned(
            workspace_id=run.workspace_id,
            project_id=run.project_id,
            model_run_id=run.id,
            alignment_version=run.alignment_version,
        )
    )


async def realign_model_run(operation: RunningOperation) -> None:
    """Goes on where an earlier worker ended: rows are stored in their order, each step's together."""
    wanted = Realignment.model_validate(operation.parameters)
    more = True
    while more:
        async with operation.step() as work:
            more = await (await _projector(work, operation, wanted)).forget()
    done = operation.claim.progress.done
    while True:
        async with operation.step() as work:
            projector = await _projector(work, operation, wanted)
            last = await writing.last_row(work.session, projector.run, wanted.version)
            step = await projector.project(last)
            if step is None:
                break
            done += step[1]
            await operation.report(work, done, projector.run.detections, "projecting")
    async with operation.step() as work:
        projector = await _projector(work, operation, wanted, hold=True)
        await projector.switch()
        emit_realigned(work, projector.run)
        result = {"model_run_id": str(wanted.model_run_id), "alignment_version": wanted.version}
        await operation.succeed(work, result)


async def _projector(
    work: UnitOfWork, operation: RunningOperation, wanted: Realignment, *, hold: bool = False
) -> Projector:
    """Raises Conflict when the run goes on again or shows another version than was changed."""
    found = select(ModelRunRow).where(
        ModelRunRow.workspace_id == operation.claim.workspace_id, ModelRunRow.id == wanted.model_run_id
    )
    run = await work.session.scalar(found.with_for_update() if hold else found)
    if run is None:
        raise NotFound("the run is gone")
    if run.state not in TERMINAL_STATES or run.alignment_version != wanted.replaces:
        raise Conflict("the run has changed since; read its alignment and change it again", code="run_changed")
    return Projector(work.session, run, await read_alignment(work.session, run, wanted.version))
