"""How a model's words meet the ontology, and what of its detections is shown.

`select` is the one definition of a pre-label: everything stored about what is shown (`row_projections`,
`ledger_counts`) is its result and can be made again.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.annotations import (
    CLASSIFICATION_TYPES,
    Annotation,
    AnnotationValue,
    FeatureType,
)
from shared.answers import Answer, Attributes, EntryAnswer, chosen
from shared.conversion import Conversion

Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Reason = Literal[
    "unmapped",
    "condition_not_met",
    "below_threshold",
    "too_small",
    "not_convertible",
    "over_max_count",
    "radio_conflict",
    "duplicate_answer",
]
SHOWN = "shown"

# A detection no entry shows is accounted for under the reason that came last: where it got furthest.
_PROGRESS: dict[Reason, int] = {
    "unmapped": 0,
    "condition_not_met": 1,
    "below_threshold": 2,
    "too_small": 3,
    "not_convertible": 4,
    "over_max_count": 5,
    "radio_conflict": 6,
    "duplicate_answer": 6,
}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(_Value):
    """A feature schema, and for a radio or checklist the option that the model class means."""

    feature_schema_id: UUID
    option_id: UUID | None = None


class Range(_Value):
    """Half-open: `minimum <= value < maximum`."""

    minimum: float | None = Field(default=None, allow_inf_nan=False)
    maximum: float | None = Field(default=None, allow_inf_nan=False)

    def holds(self, value: float | None) -> bool:
        if value is None:
            return False
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value < self.maximum)


class Condition(_Value):
    """All parts that are given must hold. `area` in square pixels."""

    confidence: Range | None = None
    area: Range | None = None
    attribute: dict[str, str | float | bool] = Field(default_factory=dict)

    def holds(self, detection: "Detection") -> bool:
        return (
            (self.confidence is None or self.confidence.holds(detection.confidence))
            and (self.area is None or self.area.holds(detection.area))
            and all(detection.attributes.get(name) == wanted for name, wanted in self.attribute.items())
        )


class AlignmentEntry(_Value):
    """One model class seen as one feature.

    `target_type` and `conversion` follow from the feature and the model, resolved when the run is frozen. `answers` may
    be of any depth under the target, each under an option that another one chooses.
    """

    model_class: str = Field(min_length=1, max_length=500)
    target: Target
    target_type: FeatureType
    threshold: Unit
    when: Condition | None = None
    min_area: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_count: int | None = Field(default=None, ge=1)
    conversion: Conversion | None = None
    answers: tuple[EntryAnswer, ...] = ()

    @cached_property
    def constant_answers(self) -> tuple[Answer, ...] | None:
        """None when some are the detection's own."""
        constant = tuple(answer for answer in self.answers if isinstance(answer, Answer))
        return constant if len(constant) == len(self.answers) else None

    def answers_of(self, attributes: Attributes) -> tuple[Answer, ...]:
        """The answers that a detection with these attributes is shown with."""
        if self.constant_answers is not None:
            return self.constant_answers
        found = (one if isinstance(one, Answer) else one.answer(attributes) for one in self.answers)
        return tuple(answer for answer in found if answer is not None)


class Alignment(_Value):
    version: int = 1
    entries: tuple[AlignmentEntry, ...]

    @cached_property
    def by_class(self) -> Mapping[str, Sequence[tuple[int, AlignmentEntry]]]:
        """The entries of each model class, with their places in `entries`."""
        found: defaultdict[str, list[tuple[int, AlignmentEntry]]] = defaultdict(list)
        for index, entry in enumerate(self.entries):
            found[entry.model_class].append((index, entry))
        return dict(found)

    def at(self, threshold: float) -> "Alignment":
        """The same with one threshold for all entries."""
        entries = tuple(entry.model_copy(update={"threshold": threshold}) for entry in self.entries)
        return Alignment(version=self.version, entries=entries)


class Detection(_Value):
    """What the model said of one data row, in its words. `ordinal` counts from 0 within the row."""

    ordinal: int
    model_class: str
    confidence: Unit
    area: float | None = None
    attributes: dict[str, str | float | bool] = Field(default_factory=dict)
    annotation: Annotation


class PreLabel(_Value):
    """A detection as the alignment shows it."""

    ordinal: int
    target: Target
    model_class: str
    confidence: Unit
    threshold: Unit
    annotation: Annotation
    answers: tuple[Answer, ...] = ()


class Selection(_Value):
    """`ledger` counts detections, not pre-labels: raw = shown + all dropped, per class."""

    shown: tuple[PreLabel, ...]
    dropped: Mapping[int, Reason]
    ledger: Mapping[tuple[str, str], int]

    @property
    def uncertainty(self) -> float:
        """1 minus the least confidence shown; 0 when nothing is."""
        return 1 - min((pre_label.confidence for pre_label in self.shown), default=1.0)


def select(detections: Sequence[Detection], alignment: Alignment) -> Selection:
    """What of one data row's detections is shown, and why the rest is not. Order of `shown`: ordinal, then entry."""
    candidates: list[tuple[int, PreLabel, AlignmentEntry]] = []
    reasons: dict[int, Reason] = {}
    for detection in detections:
        reasons[detection.ordinal] = "unmapped"
        for index, entry in alignment.by_class.get(detection.model_class, ()):
            outcome = _view(detection, entry)
            if isinstance(outcome, PreLabel):
                candidates.append((index, outcome, entry))
            else:
                _note(reasons, detection.ordinal, outcome)
    shown = _without_conflicts(_within_counts(candidates, reasons), reasons)
    visible = {pre_label.ordinal for pre_label in shown}
    dropped = {ordinal: reason for ordinal, reason in reasons.items() if ordinal not in visible}
    ledger = Counter((d.model_class, dropped.get(d.ordinal, SHOWN)) for d in detections)
    return Selection(shown=tuple(shown), dropped=dropped, ledger=dict(ledger))


def _view(detection: Detection, entry: AlignmentEntry) -> PreLabel | Reason:
    if entry.when is not None and not entry.when.holds(detection):
        return "condition_not_met"
    if detection.confidence < entry.threshold:
        return "below_threshold"
    if entry.min_area is not None and detection.area is not None and detection.area < entry.min_area:
        return "too_small"
    annotation = _as_target(detection.annotation, entry)
    if annotation is None:
        return "not_convertible"
    return PreLabel.model_construct(
        ordinal=detection.ordinal,
        target=entry.target,
        model_class=detection.model_class,
        confidence=detection.confidence,
        threshold=entry.threshold,
        annotation=annotation,
        answers=entry.answers_of(detection.attributes),
    )


def _as_target(annotation: AnnotationValue, entry: AlignmentEntry) -> Annotation | None:
    option_id = entry.target.option_id
    if option_id is None:
        # Every class of `AnnotationValue` is a member of the union `Annotation`.
        return cast(Annotation | None, annotation.convert(entry.target_type))
    if entry.target_type not in CLASSIFICATION_TYPES or entry.target_type not in annotation.becomes:
        return None
    return chosen(entry.target_type, option_id)


def _within_counts(
    candidates: list[tuple[int, PreLabel, AlignmentEntry]], reasons: dict[int, Reason]
) -> list[PreLabel]:
    taken: Counter[int] = Counter()
    places: dict[tuple[int, int], PreLabel] = {}
    for index, pre_label, entry in sorted(candidates, key=lambda c: (-c[1].confidence, c[1].ordinal, c[0])):
        if entry.max_count is not None and taken[index] >= entry.max_count:
            _note(reasons, pre_label.ordinal, "over_max_count")
            continue
        taken[index] += 1
        places[(pre_label.ordinal, index)] = pre_label
    return [places[key] for key in sorted(places)]


def _without_conflicts(pre_labels: list[PreLabel], reasons: dict[int, Reason]) -> list[PreLabel]:
    """A radio has one answer, a checklist each option once: the surest wins, the first of equals."""
    best: dict[tuple[UUID, UUID | None], PreLabel] = {}
    for pre_label in pre_labels:
        for claim in pre_label.annotation.claims():
            place = (pre_label.target.feature_schema_id, claim)
            rival = best.get(place)
            if rival is None or pre_label.confidence > rival.confidence:
                best[place] = pre_label
    kept = []
    for pre_label in pre_labels:
        claims = pre_label.annotation.claims()
        if all(best[(pre_label.target.feature_schema_id, claim)] is pre_label for claim in claims):
            kept.append(pre_label)
        else:
            _note(reasons, pre_label.ordinal, "radio_conflict" if None in claims else "duplicate_answer")
    return kept


def _note(reasons: dict[int, Reason], ordinal: int, reason: Reason) -> None:
    if _PROGRESS[reason] > _PROGRESS[reasons[ordinal]]:
        reasons[ordinal] = reason
