"""Every event. To add one: write its class, name it in `EVENTS`.

Events change by addition only; a breaking change is a new `type`. Written strictly, read leniently.
"""

from uuid import UUID

from shared.contracts.event import Event, ProjectEvent, RunState
from shared.contracts.policy_events import PolicyApplied, PolicyStopped
from shared.contracts.preview_events import (
    PreviewCancelled,
    PreviewCompleted,
    PreviewCompletedWithErrors,
    PreviewDeleted,
    PreviewFailed,
    PreviewQueued,
    PreviewRealigned,
    PreviewStalled,
    PreviewStarted,
    PreviewUnstalled,
)
from shared.contracts.review_events import (
    BulkDecided,
    BulkUndone,
    DataRowDecided,
    DataRowReopened,
    DataRowSubmitted,
)
from shared.contracts.webhook_events import WebhookSwitchedOff, WebhookTested


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
    notifies = True


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


class ModelRunRealigned(ProjectEvent):
    """A run that has ended is shown by another version of its alignment. It moves no state and ends no execution."""

    type = "model_run.realigned"
    subject_kind = "model_run"

    model_run_id: UUID
    alignment_version: int


class ModelRunUndone(ProjectEvent):
    """The pre-labels nobody had decided on are hidden for good; `hidden` counts their detections.

    It moves no state and ends no execution.
    """

    type = "model_run.undone"
    subject_kind = "model_run"
    notifies = True

    model_run_id: UUID
    hidden: int


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


class ModelEvent(Event):
    """Of a model that the workspace brought; `model_version` is the card's."""

    subject_kind = "model"

    model_id: UUID
    slug: str
    model_version: str


class ModelReady(ModelEvent):
    type = "model.ready"
    notifies = True


class ModelFailed(ModelEvent):
    """It could not be registered; `reason` is meant for people."""

    type = "model.failed"
    notifies = True

    reason: str | None = None


class ModelDeleted(ModelEvent):
    type = "model.deleted"


class ApiKeyCreated(Event):
    type = "api_key.created"
    subject_kind = "api_key"

    api_key_id: UUID


class ApiKeySuspended(Event):
    """Its member was disabled: it serves no more until they are let in again."""

    type = "api_key.suspended"
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
    DataRowSubmitted,
    DataRowReopened,
    BulkDecided,
    BulkUndone,
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
    ModelRunRealigned,
    ModelRunUndone,
    PreviewQueued,
    PreviewStarted,
    PreviewStalled,
    PreviewUnstalled,
    PreviewCompleted,
    PreviewCompletedWithErrors,
    PreviewCancelled,
    PreviewFailed,
    PreviewRealigned,
    PreviewDeleted,
    PolicyApplied,
    PolicyStopped,
    OperationSucceeded,
    OperationFailed,
    OperationCancelled,
    ModelReady,
    ModelFailed,
    ModelDeleted,
    ApiKeyCreated,
    ApiKeySuspended,
    ApiKeyRevoked,
    WebhookTested,
    WebhookSwitchedOff,
)

NOTIFYING_TYPES = frozenset(event.type for event in EVENTS if event.notifies)

TERMINAL_STATES: frozenset[RunState] = frozenset({"completed", "completed_with_errors", "cancelled", "failed"})
