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


class LabelAgreement(_Shown):
    """What one run shows against the final labels. Shares of objects count for as many as their spread over data rows
    allows."""

    model_run_id: UUID
    same: int = Field(description="pre-labels that a label confirms")
    only_run: int
    only_labels: int
    precision: Estimate = Field(description="same / (same + only_run)")
    recall: Estimate = Field(description="same / (same + only_labels)")
    right_data_rows: Estimate = Field(description="data rows on which both say the same")


class LabelComparison(_Shown):
    """Two runs, each against the labels that people left; whose pre-labels those came from does not matter."""

    data_rows: int = Field(description="both have results for, and were submitted after them; withheld ones left out")
    compared: int = Field(description="of these, drawn at random where they are very many")
    targets: list[Target] = Field(description="features and options both alignments have; nothing else is looked at")
    runs: tuple[LabelAgreement, LabelAgreement]
    only_first_right: int = Field(description="data rows on which the first alone says the same as the labels")
    only_second_right: int


class Bounded(_Shown):
    """A figure with its interval of 95 %."""

    value: float
    low: float
    high: float


class EffectGroup(_Shown):
    """Data rows of one kind: with or without pre-labels."""

    data_rows: int
    compared: int = Field(description="of these, drawn at random where they are very many")
    timed: int = Field(description="of those compared, the ones that people said the time of")
    mean_seconds: float | None
    median_seconds: float | None
    same: int = Field(description="what the model and the labels both say")
    only_model: int
    only_labels: int
    agreement: Estimate = Field(description="same / (same + only_model + only_labels)")
    right_data_rows: Estimate = Field(description="data rows on which both say the same")


class WithholdingEffect(_Shown):
    """What pre-labels change, by data rows that were drawn at random to get none.

    Nothing is told before both groups have `least` submitted data rows.
    """

    model_run_id: UUID
    least: int
    without_pre_labels: EffectGroup | None
    with_pre_labels: EffectGroup | None
    speed_up: Bounded | None = Field(description="mean seconds without pre-labels by those with them")
    bias: Bounded | None = Field(description="agreement with the model where it was shown, less where it was not")
    data_row_bias: Bounded | None = Field(description="the same of the share of data rows that agree wholly")


class RunComparison(Page[ComparedRow]):
    """`items` are the data rows that differ, in data row order; a page may be short and still have a next one."""

    model_config = ConfigDict(protected_namespaces=())

    data_rows: int = Field(description="that both have results for")
    runs: tuple[ComparedRun, ComparedRun]
