"""Measures as HTTP shows them. `docs/measures.md` says what counts for what."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.http import Page
from shared.contracts.resources import RunModel

SAME_FROM = 0.5

Share = Annotated[float, Field(ge=0, le=1)]


class _Shown(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class Estimate(_Shown):
    """A share of what was counted, with Wilson's interval of 95 %."""

    value: Share | None = Field(description="null where there is nothing to divide by")
    low: Share
    high: Share
    of: int = Field(description="how many it is a share of")


class Target(_Shown):
    """What a pre-label was shown as."""

    feature_schema_id: UUID
    feature_name: str | None
    option_id: UUID | None
    option_name: str | None


class Judgement(_Shown):
    """What people said of pre-labels they looked at."""

    judged: int = Field(description="pre-labels that people accepted, edited or rejected")
    accepted: int
    edited: int
    rejected: int
    right: int = Field(description="accepted, or edited to something as good as the same")
    acceptance_rate: Estimate = Field(description="accepted / judged")
    precision: Estimate = Field(description="right / judged")
    edit_likeness: Share | None = Field(description="median of what geometries had in common before and after an edit")


class ClassMeasures(Judgement, Target):
    model_class: str


class FeatureMeasures(Target):
    """On data rows whose review was submitted after the run had its result."""

    found: int = Field(description="right pre-labels")
    missed: int = Field(description="labels added by hand, and what wrong pre-labels were edited to")
    recall: Estimate = Field(description="found / (found + missed)")


class Confused(_Shown):
    """How often something shown as the one was settled as the other; `settled_as` is null for rejected ones."""

    shown_as: Target
    settled_as: Target | None
    count: int


class MeasuredRows(_Shown):
    """Data rows whose review was submitted after the run had its result; withheld ones are none of them."""

    submitted: int
    timed: int = Field(description="of these, those people said the time of")
    mean_seconds: float | None
    median_seconds: float | None


class Metrics(_Shown):
    """What people's decisions say of a model's pre-labels."""

    model: RunModel | None = Field(description="null for predictions made elsewhere")
    model_run_ids: list[UUID]
    same_from: float
    include_bulk: bool
    data_rows: MeasuredRows
    overall: Judgement
    recall: Estimate
    classes: list[ClassMeasures]
    features: list[FeatureMeasures]
    confusion: list[Confused]


class CalibrationBin(_Shown):
    low: float
    high: float
    judged: int
    right: int
    confidence: Share | None = Field(description="the mean, of judged pre-labels in the bin")
    precision: Estimate


class CalibrationCurve(_Shown):
    """Confidence against the share that was right."""

    model_run_ids: list[UUID]
    judged: int
    bins: list[CalibrationBin]
    expected_error: Share | None = Field(description="mean gap of confidence and precision, weighted by judged")
    worst_error: Share | None


class ThresholdCandidate(_Shown):
    threshold: float
    judged: int = Field(description="judged pre-labels at this confidence or more")
    right: int
    precision: Share
    lower_bound: Share = Field(description="one-sided, exact, and of all candidates at once")


class ThresholdSuggestion(_Shown):
    """The lowest threshold of which it can be said that the wanted precision is reached; null where there is none."""

    model_run_ids: list[UUID]
    target_precision: float
    confidence: float
    judged: int
    least_judged: int = Field(description="so many must be judged, all of them right, before anything can be said")
    suggestion: ThresholdCandidate | None
    candidates: list[ThresholdCandidate]


class ComparedRun(_Shown):
    """One of two runs, measured on the data rows both have results for."""

    model_run_id: UUID
    metrics: Metrics


class ComparedRow(_Shown):
    """A data row on which the two do not show the same. `shown` and `same` count pre-labels."""

    data_row_id: UUID
    global_key: str
    shown: tuple[int, int]
    same: int
    only_first: int
    only_second: int


class RunComparison(Page[ComparedRow]):
    """`items` are the data rows that differ, in data row order; a page may be short and still have a next one."""

    model_config = ConfigDict(protected_namespaces=())

    data_rows: int = Field(description="that both have results for")
    runs: tuple[ComparedRun, ComparedRun]
