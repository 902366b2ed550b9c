"""What the log says of a run that the api moves."""

from shared.contracts.events import RUN_EVENTS, RunState
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork


def emit_state(work: UnitOfWork, run: ModelRunRow) -> None:
    """The event of the state the run is in now, with its counters."""
    state: RunState = run.state  # type: ignore[assignment]
    work.emit(
        RUN_EVENTS[state](
            workspace_id=run.workspace_id,
            project_id=run.project_id,
            model_run_id=run.id,
            state=state,
            reason=run.state_reason,
            execution=run.execution,
            total=run.total,
            succeeded=run.succeeded,
            failed=run.failed,
            skipped=run.skipped,
            detections=run.detections,
        )
    )
