"""How far a run is, from the workers to the notifiers."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.contracts.event import RunPurpose


class Progress(BaseModel):
    """How far a run or preview is: last value wins, not in the log, at most five a second each."""

    model_config = ConfigDict(protected_namespaces=())

    workspace_id: UUID
    project_id: UUID
    model_run_id: UUID
    purpose: RunPurpose = "run"
    execution: int = 1
    done: int
    total: int
    failed: int
    rows_per_second: float | None
    eta_seconds: float | None
