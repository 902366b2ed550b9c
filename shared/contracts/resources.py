"""Resources that two services show in the same words: the api as a GET body, the notifier as a snapshot."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.alignment import AlignmentEntry
from shared.contracts.envelope import Subject
from shared.contracts.event import RunPurpose, RunState
from shared.contracts.http import Page
from shared.contracts.run_verbs import RunVerb
from shared.preprocessing import MediaType
from shared.run_configuration import Sample


class Resource(BaseModel):
    # An undeclared field is a contract bug: fail at construction, not in a client.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Project(Resource):
    id: UUID
    name: str
    description: str
    media_type: MediaType
    ontology_version: int = Field(description="0 while there is no ontology")
    revision: int
    created_at: datetime
    updated_at: datetime


class RunModel(Resource):
    """The exact model of a run. Its whole card is at `GET /v1/models/{id}`."""

    id: UUID
    slug: str
    name: str
    version: str
    digest: str


class RunParameters(Resource):
    """What was frozen at submit besides the model and the alignment."""

    floor: float = Field(description="the lowest confidence that is stored")
    ontology_version: int
    criteria: dict[str, str]
    batch_ids: tuple[UUID, ...] = Field(description="empty when all data rows of the project were meant")
    only_unlabeled: bool
    limit: int | None
    preview_id: UUID | None = Field(description="the preview whose model, criteria and alignment were taken")
    reuse: bool = Field(description="whether results the workspace had already were copied")


class NamedAlignmentEntry(AlignmentEntry):
    """An entry of the alignment, with the names its target has now."""

    feature_name: str | None
    option_name: str | None


class ModelRunSummary(Resource):
    """`done` counts rows with an outcome. While the run is open the counters are those of this moment."""

    id: UUID
    project_id: UUID
    catalog_model_id: UUID | None = Field(description="null when the predictions were made elsewhere")
    purpose: RunPurpose
    name: str
    state: RunState
    state_reason: str | None
    execution: int = Field(description="1 for the first pass; each retry of failed rows is one more")
    alignment_version: int
    priority: int
    total: int
    done: int
    succeeded: int
    failed: int
    skipped: int
    detections: int
    results_discarded: bool
    undone_at: datetime | None = Field(description="since when its undecided pre-labels are hidden for good")
    allowed_verbs: tuple[RunVerb, ...] = Field(description="what may be done with it now")
    created_by: UUID
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


Waiting = Literal["model", "object_store", "worker"]


class PredictionSource(Resource):
    """What made predictions that came from elsewhere."""

    name: str
    version: str
    format: str = Field(description="the exchange format they came in")


class ModelRun(ModelRunSummary):
    """A run with what it was asked to do."""

    source: PredictionSource | None = Field(
        description="of predictions made elsewhere; null for a model of the catalog"
    )
    waiting_for: Waiting | None = Field(
        description="while it does not move: the part that is away, as `state_reason` says in words. "
        "`worker`: for 15 s no worker has worked on any run"
    )
    model: RunModel | None = Field(description="null when the predictions were made elsewhere")
    configuration: RunParameters | None
    alignment: tuple[NamedAlignmentEntry, ...]


class PreviewSummary(Resource):
    """A model tried on a sample of the project's data rows. Nothing of it is for review.

    `done` counts rows with an outcome. While the preview is open the counters are those of this moment.
    """

    id: UUID
    project_id: UUID
    catalog_model_id: UUID
    name: str
    state: RunState
    state_reason: str | None
    alignment_version: int = Field(description="the ETag; a change of alignment or thresholds is a new version")
    sample: Sample
    total: int
    done: int
    succeeded: int
    failed: int
    skipped: int
    detections: int = Field(description="what the model said, shown or not")
    created_by: UUID
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Preview(PreviewSummary):
    """A preview with what it was asked to do."""

    waiting_for: Waiting | None = Field(description="while it does not move: the part that is away, as for a run")

    model: RunModel
    floor: float = Field(description="the lowest confidence that is stored; no threshold may lie below")
    criteria: dict[str, str]
    ontology_version: int
    alignment: tuple[NamedAlignmentEntry, ...]


class Notification(Resource):
    """A notifying event as one member sees it. `offset` is its place in the workspace's stream."""

    id: UUID = Field(description="the event's id")
    offset: int
    type: str
    subject: Subject
    occurred_at: datetime
    data: dict[str, Any]
    read_at: datetime | None


class Notifications(Page[Notification]):
    """Newest first. `unread` counts all unread ones, not only those of this page."""

    model_config = ConfigDict(extra="forbid")

    unread: int
