"""Previews as HTTP takes them. `Preview` itself is in `shared.contracts.resources`."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.model_runs.schemas import REUSE, AlignmentCreate, Criteria
from shared.contracts.event import RunState
from shared.contracts.http import Page
from shared.contracts.resources import RunModel

MAX_SAMPLE = 1000
DEFAULT_SAMPLE = 50
_UNIT: dict[str, Any] = {"minimum": 0, "maximum": 1}

TextMatch = Literal["exact", "overlap"]
Threshold = Annotated[float, Field(allow_inf_nan=False, json_schema_extra=_UNIT)]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class SampleCreate(_Sent):
    """Which data rows: so many by a method, or those chosen by id, or those of another preview.

    `random` takes the data rows with the smallest SHA-256 of `<seed>:<global_key>`, so the same seed and data rows give
    the same sample in whatever order they were imported. `stratified` takes of each value of the metadata `field` in
    proportion to its data rows, at least one, and the same way within each. `first` takes the oldest.
    """

    size: int = Field(default=DEFAULT_SAMPLE, ge=1, le=MAX_SAMPLE)
    method: Literal["random", "first", "stratified"] = "random"
    field: str | None = Field(default=None, min_length=1, max_length=200, description="of the metadata; for stratified")
    seed: int = Field(default=0, ge=0, lt=2**63)
    data_row_ids: tuple[UUID, ...] | None = Field(default=None, min_length=1, max_length=MAX_SAMPLE)
    preview_id: UUID | None = Field(default=None, description="the data rows of this preview again, for comparing")


class PreviewCreate(_Sent):
    """A model to try on a sample. Without `alignment` the suggested one is used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_id": "0199f1a2-7c5e-7f0a-8d3b-5c6e7f809102",
                    "threshold": 0.4,
                    "sample": {"size": 50, "method": "random", "seed": 7},
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

    model_id: UUID
    name: str = Field(default="", max_length=200, description="the model's name when left out")
    alignment: AlignmentCreate | None = None
    threshold: Threshold | None = Field(
        default=None, description="for every entry without its own; the card's default when left out"
    )
    criteria: Criteria = Field(default={}, description="plain words for each class, for models that take them")
    sample: SampleCreate = SampleCreate()
    reuse: bool = Field(default=True, description=REUSE)


class SweepQuality(BaseModel):
    """What is shown on data rows that people have labeled, held against their labels. Lists go by `thresholds`.

    Precision is null where nothing is shown. A label of a feature that several classes mean counts for each of them.
    """

    labels: int = Field(description="those this class could have found")
    precision: list[float | None]
    recall: list[float | None]
    f1: list[float | None]
    recommended_threshold: float | None = Field(
        description="where F1 is best, the middle one of equals; null when nothing is right at any threshold"
    )


class SweepClass(BaseModel):
    """Lists go by `thresholds`, null beneath the floor. `shown` counts detections as the ledger does."""

    model_config = ConfigDict(protected_namespaces=())

    model_class: str
    shown: list[int | None]
    pre_labels: list[int | None] = Field(description="more where a detection is shown for several features")
    quality: SweepQuality | None = Field(description="null when people have labeled nothing this class could find")


class Sweep(BaseModel):
    """What would be shown with one threshold for all entries, all else in the alignment as it is."""

    preview_id: UUID
    alignment_version: int
    floor: float
    thresholds: list[float] = Field(description="0.00, 0.01 … 1.00")
    data_rows: int = Field(description="that have a result now")
    labeled_data_rows: int = Field(description="of those: with a label, or submitted without any")
    text_match: TextMatch
    shown: list[int | None] = Field(description="all classes together")
    classes: list[SweepClass] = Field(description="those of the alignment")


class ComparedFeature(BaseModel):
    """`shown` goes by the order of the previews."""

    feature_schema_id: UUID
    feature_name: str
    option_id: UUID | None
    option_name: str | None
    shown: list[int]


class ComparedPreview(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    id: UUID
    name: str
    model: RunModel
    state: RunState
    alignment_version: int
    shown: int = Field(description="pre-labels on the compared data rows")
    classes: dict[str, int] = Field(description="pre-labels by model class")


class ComparedPair(BaseModel):
    """Two pre-labels are the same when feature and option are, and they overlap by half (a text entity: exactly)."""

    preview_ids: tuple[UUID, UUID]
    same: int
    only_first: int
    only_second: int
    agreement: float | None = Field(description="the share that is the same; null when neither shows anything")


class DifferentRow(BaseModel):
    """A data row on which at least two previews do not show the same. `shown` goes by the order of the previews."""

    data_row_id: UUID
    global_key: str
    shown: list[int]
    pairs: list[ComparedPair]


class PreviewComparison(Page[DifferentRow]):
    """`items` are the data rows that differ, in their order; the rest is about all data rows of the sample."""

    previews: list[ComparedPreview]
    data_rows: int = Field(description="those with a result in every preview; only these are compared")
    same_data_rows: int = Field(description="of those: on which all show the same")
    features: list[ComparedFeature]
    pairs: list[ComparedPair]
