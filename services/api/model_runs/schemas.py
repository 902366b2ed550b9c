"""Model runs as HTTP takes and shows them. `ModelRun` itself is in `shared.contracts.resources`."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.alignment import Target
from shared.annotations import Annotation, FeatureType
from shared.answers import Answer, EntryAnswer
from shared.conditions import Condition
from shared.contracts.resources import NamedAlignmentEntry, RunModel

MAX_ENTRIES = 2000
MAX_ROWS = 1_000_000

OutcomeState = Literal["succeeded", "failed", "skipped", "not_run", "pending"]
DecisionState = Literal["pending", "accepted", "edited", "rejected"]
Results = Literal["keep", "discard"]

Criteria = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=500)], Annotated[str, Field(min_length=1, max_length=2000)]],
    Field(max_length=1000),
]

REUSE = (
    "copy the results the workspace has already: of the same model, criteria and content; false asks the model again"
)

_UNIT: dict[str, Any] = {"minimum": 0, "maximum": 1}


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class _Told(_Sent):
    """What a suggestion or another run says beside an entry, so that both can be sent back as they are."""

    feature_name: str | None = Field(default=None, description="ignored")
    feature_type: str | None = Field(default=None, description="ignored")
    option_name: str | None = Field(default=None, description="ignored")
    target_type: str | None = Field(default=None, description="ignored; it is the feature's")
    score: float | None = Field(default=None, description="ignored")
    reason: str | None = Field(default=None, description="ignored")


class ConversionCreate(_Sent):
    """It is refused where it is not the way from the model's kind to the feature's type."""

    from_: str = Field(alias="from", max_length=100, examples=["polygon"])
    to: str = Field(max_length=100, examples=["bounding_box"])
    loss: str | None = Field(default=None, description="ignored")


class AlignmentEntryCreate(_Told):
    """One model class seen as one feature. Ranges of thresholds are checked with the model's card, not here."""

    model_class: str = Field(min_length=1, max_length=500)
    target: Target
    threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        json_schema_extra=_UNIT,
        description="in place of the run's; not under the card's floor",
    )
    when: Condition | None = None
    min_area: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="in square pixels")
    max_count: int | None = Field(default=None, ge=1, le=1_000_000, description="the surest so many of a data row")
    conversion: ConversionCreate | None = Field(
        default=None, description="what the feature's type makes of the model's geometry, when left out"
    )
    answers: tuple[EntryAnswer, ...] = Field(
        default=(),
        max_length=100,
        description="to classifications under the target, or under an option that another of these answers chooses",
    )


class AlignmentCreate(_Sent):
    entries: tuple[AlignmentEntryCreate, ...] = Field(max_length=MAX_ENTRIES)


class AlignmentUpdate(_Sent):
    """A merge patch: what is left out stays. First `alignment`, then `threshold`, then `thresholds` take effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"threshold": 0.35}, {"thresholds": {"person": 0.6}}]})

    alignment: AlignmentCreate | None = Field(default=None, description="in place of the whole present one")
    threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        json_schema_extra=_UNIT,
        description="for all entries; with `alignment` only for those without their own",
    )
    thresholds: (
        dict[Annotated[str, Field(min_length=1, max_length=500)], Annotated[float, Field(allow_inf_nan=False)]] | None
    ) = Field(default=None, max_length=MAX_ENTRIES, description="for all entries of these model classes")


class ModelRunCreate(_Sent):
    """Which model on which data rows, and how its classes meet the ontology. Without `batch_ids`: all data rows.

    In place of `model_id`, `alignment`, `threshold` and `criteria`: a preview, and the version of its alignment.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_id": "0199f1a2-7c5e-7f0a-8d3b-5c6e7f809102",
                    "name": "first pass",
                    "threshold": 0.4,
                    "alignment": {
                        "entries": [
                            {
                                "model_class": "person",
                                "target": {"feature_schema_id": "0199f1a2-7c5e-7f0a-8d3b-5c6e7f809103"},
                            }
                        ]
                    },
                }
            ]
        }
    )

    model_id: UUID | None = None
    preview_id: UUID | None = Field(default=None, description="run what this preview showed")
    alignment_version: int | None = Field(
        default=None, description="that of the preview, as its ETag says; another one than it has now gives 409"
    )
    name: str = Field(default="", max_length=200, description="the model's name when left out")
    batch_ids: tuple[UUID, ...] = Field(default=(), max_length=1000)
    limit: int | None = Field(default=None, ge=1, le=MAX_ROWS, description="the first so many data rows")
    only_unlabeled: bool = Field(
        default=False, description="only data rows that have no label and whose review was not submitted"
    )
    priority: int = Field(default=3, ge=1, le=5, description="1 is the most urgent")
    threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        json_schema_extra=_UNIT,
        description="for every entry without its own; the card's default when left out",
    )
    reuse: bool = Field(default=True, description=REUSE)
    alignment: AlignmentCreate | None = None
    criteria: Criteria = Field(
        default={},
        description="for an open-ended model: the name of each criterion, unique whatever its case, and its text; "
        "the names are the model classes of the alignment. Refused for other models",
    )


class ModelRunCancel(_Sent):
    model_config = ConfigDict(json_schema_extra={"examples": [{"results": "keep"}]})

    results: Results = Field(
        default="keep", description="`discard` hides the pre-labels nobody has decided; outcomes stay"
    )


class _Shown(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class ReusedFrom(_Shown):
    """The run or preview whose call of the model gave the result, and on which data row. Both may be gone."""

    model_run_id: UUID
    data_row_id: UUID


class Outcome(_Shown):
    """What became of one data row. `pending`: the run is open; `not_run`: it ended before this row's turn."""

    data_row_id: UUID
    global_key: str
    state: OutcomeState
    stage: str | None = Field(description="where it failed", examples=["decode"])
    code: str | None = Field(examples=["undecodable_image"])
    detail: str | None
    attempts: int = Field(description="a result that was copied cost none")
    detections: int
    execution: int | None
    reused_from: ReusedFrom | None = Field(description="where the result was copied from, when no model was asked")
    timings: dict[str, float] | None = Field(
        description="milliseconds its batch spent in each stage, and how many rows that had, `batch_rows`",
        examples=[{"fetch_ms": 12.1, "prepare_ms": 40.2, "queue_ms": 3.5, "infer_ms": 60.9, "batch_rows": 16}],
    )
    created_at: datetime | None


class TracedSegment(_Shown):
    """The rows a worker took together."""

    id: UUID
    ordinal: int = Field(description="its place in the execution, from 0")
    state: Literal["open", "leased", "done", "cancelled"]
    takeovers: int = Field(description="how often another worker had to go on with it")


class TracedBatch(_Shown):
    """The rows that were sent to the model in one call."""

    id: str
    rows: int


class TracedStages(_Shown):
    """Milliseconds of the whole batch in each stage. What was not measured is null."""

    fetch_ms: float | None = Field(default=None, description="until all contents were there, without `prepare_ms`")
    prepare_ms: float | None = Field(default=None, description="decoding the contents into the batch's memory")
    queue_ms: float | None = Field(default=None, description="waiting for its turn at the model, tries again included")
    infer_ms: float | None = Field(default=None, description="the call that was answered")
    decode_ms: float | None = Field(default=None, description="from the model's tensors to detections")


class OutcomeTrace(Outcome):
    """What became of one data row, and on which way. `created_at` is when its outcome was stored."""

    model: RunModel | None = Field(description="the exact model that the run asks")
    segment: TracedSegment | None
    batch: TracedBatch | None = Field(description="null for a row of which the model gave no answer")
    worker: str | None = Field(description="that stored the outcome; while there is none, the one that holds the row")
    stages: TracedStages | None


class PreLabel(_Shown):
    """A detection as the run's alignment shows it."""

    id: str = Field(description="opaque; names this detection as this feature, whatever the thresholds")
    model_run_id: UUID
    data_row_id: UUID
    global_key: str
    ordinal: int = Field(description="which detection of the data row it is, from 0")
    feature_schema_id: UUID
    feature_name: str
    tool: FeatureType = Field(description="type of the tool or classification that takes it")
    option_id: UUID | None
    option_name: str | None
    model_class: str
    confidence: float
    threshold: float
    annotation: Annotation
    classifications: tuple[Answer, ...]
    state: DecisionState


class UndonePreLabels(_Shown):
    """What undoing a run has hidden. Both count detections, as the ledger does."""

    model_run_id: UUID
    undone_at: datetime | None = Field(description="null when cancelling the run with `discard` had hidden them before")
    hidden: int = Field(description="those nobody had decided on")
    kept: int = Field(description="those somebody had decided on")


class RunAlignment(_Shown):
    """By which entries a run is shown; its version is the ETag."""

    model_run_id: UUID
    version: int
    entries: tuple[NamedAlignmentEntry, ...]
    created_by: UUID
    created_at: datetime


class LedgerClass(_Shown):
    """Where the detections of a class went: raw = shown + all dropped, shown = pending + accepted + edited + rejected.

    A detection shown for several features counts once: as accepted when any of them was, else as edited, else as
    rejected.
    """

    model_class: str
    raw: int
    shown: int
    dropped: dict[str, int] = Field(description="by reason", examples=[{"below_threshold": 12, "unmapped": 3}])
    pending: int
    accepted: int
    edited: int
    rejected: int


class Ledger(_Shown):
    model_run_id: UUID
    alignment_version: int
    classes: list[LedgerClass]
