"""Every event. To add one: write its class, name it in `EVENTS`.

Events change by addition only; a breaking change is a new `type`. Written strictly, read leniently.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

RunState = Literal[
    "queued",
    "running",
    "stalled",
    "paused",
    "completed",
    "completed_with_errors",
    "cancelled",
    "failed",
]
SubjectKind = Literal["project", "model_run", "data_row", "batch", "model", "api_key", "operation"]


class Event(BaseModel):
    """What happened. Lies in the project's stream where it is of a project, else in the workspace's.

    One that `notifies` is in the workspace's stream too, where the notifications list reads it.
    """

    # An undeclared field is a contract bug: fail at construction, not in a client.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    type: ClassVar[str]
    version: ClassVar[int] = 1
    notifies: ClassVar[bool] = False
    subject_kind: ClassVar[SubjectKind]

    workspace_id: UUID

    def subject_id(self) -> UUID:
        found: UUID = getattr(self, f"{self.subject_kind}_id")
        return found

    def of_project(self) -> UUID | None:
        return None


class ProjectEvent(Event):
    project_id: UUID

    def of_project(self) -> UUID | None:
        return self.project_id


class ProjectCreated(ProjectEvent):
    type = "project.created"
    subject_kind = "project"

    name: str


class ProjectUpdated(ProjectEvent):
    type = "project.updated"
    subject_kind = "project"

    revision: int


class ProjectDeleted(ProjectEvent):
    type = "project.deleted"
    subject_kind = "project"


class OntologyUpdated(ProjectEvent):
    type = "ontology.updated"
    subject_kind = "project"

    ontology_version: int


class DataRowsImported(ProjectEvent):
    """`created` counts new data rows only; repeats change nothing."""

    type = "data_rows.imported"
    subject_kind = "project"

    created: int


class BatchCreated(ProjectEvent):
    type = "batch.created"
    subject_kind = "batch"

    batch_id: UUID
    name: str
    size: int


class DataRowDecided(ProjectEvent):
    type = "data_row.decided"
    subject_kind = "data_row"

    data_row_id: UUID
    revision: int
    accepted: int
    rejected: int


class ModelRunEvent(ProjectEvent):
    """The run as it was right after the change; counters are exact in the terminal event."""

    subject_kind = "model_run"

    model_run_id: UUID
    state: RunState
    reason: str | None = None
    execution: int
    total: int
    succeeded: int
    failed: int
    skipped: int
    detections: int


class ModelRunQueued(ModelRunEvent):
    type = "model_run.queued"


class ModelRunStarted(ModelRunEvent):
    type = "model_run.started"


class ModelRunStalled(ModelRunEvent):
    type = "model_run.stalled"
    notifies = True


class ModelRunUnstalled(ModelRunEvent):
    type = "model_run.unstalled"


class ModelRunPaused(ModelRunEvent):
    type = "model_run.paused"


class ModelRunResumed(ModelRunEvent):
    type = "model_run.resumed"


class ModelRunCompleted(ModelRunEvent):
    type = "model_run.completed"
    notifies = True


class ModelRunCompletedWithErrors(ModelRunEvent):
    type = "model_run.completed_with_errors"
    notifies = True


class ModelRunCancelled(ModelRunEvent):
    type = "model_run.cancelled"
    notifies = True


class ModelRunFailed(ModelRunEvent):
    type = "model_run.failed"
    notifies = True


class OperationEvent(Event):
    """The end of an operation; of a project, or of the workspace where there is no `project_id`."""

    subject_kind = "operation"

    operation_id: UUID
    project_id: UUID | None = None
    kind: str
    code: str | None = None
    detail: str | None = None

    def of_project(self) -> UUID | None:
        return self.project_id


class OperationSucceeded(OperationEvent):
    type = "operation.succeeded"
    notifies = True


class OperationFailed(OperationEvent):
    """`code` and `detail` are the problem's; the whole of it is in the operation."""

    type = "operation.failed"
    notifies = True


class OperationCancelled(OperationEvent):
    type = "operation.cancelled"


class ApiKeyCreated(Event):
    type = "api_key.created"
    subject_kind = "api_key"

    api_key_id: UUID


class ApiKeyRevoked(Event):
    type = "api_key.revoked"
    subject_kind = "api_key"

    api_key_id: UUID


EVENTS: tuple[type[Event], ...] = (
    ProjectCreated,
    ProjectUpdated,
    ProjectDeleted,
    OntologyUpdated,
    DataRowsImported,
    BatchCreated,
    DataRowDecided,
    ModelRunQueued,
    ModelRunStarted,
    ModelRunStalled,
    ModelRunUnstalled,
    ModelRunPaused,
    ModelRunResumed,
    ModelRunCompleted,
    ModelRunCompletedWithErrors,
    ModelRunCancelled,
    ModelRunFailed,
    OperationSucceeded,
    OperationFailed,
    OperationCancelled,
    ApiKeyCreated,
    ApiKeyRevoked,
)

NOTIFYING_TYPES = frozenset(event.type for event in EVENTS if event.notifies)

RUN_EVENTS: dict[RunState, type[ModelRunEvent]] = {
    "queued": ModelRunQueued,
    "running": ModelRunStarted,
    "stalled": ModelRunStalled,
    "paused": ModelRunPaused,
    "completed": ModelRunCompleted,
    "completed_with_errors": ModelRunCompletedWithErrors,
    "cancelled": ModelRunCancelled,
    "failed": ModelRunFailed,
}

TERMINAL_STATES: frozenset[RunState] = frozenset({"completed", "completed_with_errors", "cancelled", "failed"})


class Subject(BaseModel):
    kind: str
    id: UUID


class Envelope(BaseModel):
    """An event as it is stored and sent. `actor` is `member:<id>` or `service:<name>`."""

    id: UUID
    type: str
    version: int
    subject: Subject
    actor: str
    occurred_at: datetime
    data: dict[str, Any]


class Progress(BaseModel):
    """How far a run is: last value wins, not in the log, at most five a second a run."""

    model_config = ConfigDict(protected_namespaces=())

    workspace_id: UUID
    project_id: UUID
    model_run_id: UUID
    done: int
    total: int
    failed: int
    rows_per_second: float | None
    eta_seconds: float | None
