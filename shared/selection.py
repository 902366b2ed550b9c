"""What an alignment shows of a model's detections.

`select` is the one definition of a pre-label: everything stored about what is shown (`row_projections`,
`ledger_counts`) is its result and can be made again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, cast, get_args
from uuid import UUID

from shared.alignment import Alignment, AlignmentEntry, Target, Unit, Value
from shared.annotations import CLASSIFICATION_TYPES, Annotation, may_become, taken_as_it_is
from shared.answers import Answer
from shared.detections import Seen

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
_PROGRESS: Mapping[Reason, int] = {reason: place for place, reason in enumerate(get_args(Reason))}


class PreLabel(Value):
    """A detection as the alignment shows it."""

    ordinal: int
    target: Target
    model_class: str
    confidence: Unit
    threshold: Unit
    annotation: Annotation
    answers: tuple[Answer, ...] = ()


class Candidate(NamedTuple):
    """A detection that an entry shows, as far as both alone decide. `converted` is None for one shown as it is.

    `number` is the entry's place.
    """

    number: int
    entry: AlignmentEntry
    detection: Seen
    converted: Annotation | None

    @property
    def annotation(self) -> Annotation:
        return self.detection.annotation if self.converted is None else self.converted

    def claims(self) -> list[tuple[UUID, UUID | None]]:
        """What a data row has once, by feature and, for a checklist, option. Tools may be used any number of times."""
        if self.entry.target_type not in CLASSIFICATION_TYPES:
            return []
        return [(self.entry.target.feature_schema_id, claim) for claim in self.annotation.claims()]

    def pre_label(self) -> PreLabel:
        return PreLabel.model_construct(
            ordinal=self.detection.ordinal,
            target=self.entry.target,
            model_class=self.detection.model_class,
            confidence=self.detection.confidence,
            threshold=self.entry.threshold,
            annotation=self.annotation,
            answers=self.entry.answers_of(self.detection.attributes),
        )


@dataclass  # not frozen, which takes three times as long to make: there is one for each row
class Selection:
    """What of one data row is shown. `ledger` counts detections, not pre-labels: raw = shown + all dropped, per class.

    `visible` are the pre-labels to be: counting them costs nothing, `shown` makes them.
    """

    visible: Sequence[Candidate]
    dropped: Mapping[int, Reason]
    ledger: Mapping[tuple[str, str], int]
    alignment: Alignment
    detections: Sequence[Seen]

    @cached_property
    def shown(self) -> tuple[PreLabel, ...]:
        return tuple(candidate.pre_label() for candidate in self.visible)

    @property
    def uncertainty(self) -> float:
        """1 minus the least confidence shown; 0 when nothing is."""
        return 1 - min((candidate.detection.confidence for candidate in self.visible), default=1.0)


def select(detections: Sequence[Seen], alignment: Alignment) -> Selection:
    """What of one data row's detections is shown, and why the rest is not. Order of `shown`: ordinal, then entry."""
    candidates: list[Candidate] = []
    reasons: dict[int, Reason] = {}
    for detection in detections:
        reasons[detection.ordinal] = "unmapped"
        for index, entry in alignment.by_class.get(detection.model_class, ()):
            outcome = _view(detection, index, entry)
            if isinstance(outcome, Candidate):
                candidates.append(outcome)
            else:
                _note(reasons, detection.ordinal, outcome)
    if alignment.counts:
        candidates = _within_counts(candidates, reasons)
    if len(candidates) > 1:
        candidates.sort(key=_place)
    if len(candidates) > 1 and alignment.answers:
        candidates = _without_conflicts(candidates, reasons)
    for candidate in candidates:
        reasons.pop(candidate.detection.ordinal, None)
    return Selection(candidates, reasons, _counted(detections, reasons), alignment, detections)


def _view(detection: Seen, index: int, entry: AlignmentEntry) -> Candidate | Reason:
    if entry.when is not None and not entry.when.holds(detection):
        return "condition_not_met"
    if detection.confidence < entry.threshold:
        return "below_threshold"
    if entry.min_area is not None and detection.area is not None and detection.area < entry.min_area:
        return "too_small"
    if entry.target.option_id is None and taken_as_it_is(detection.kind, entry.target_type):
        return Candidate(index, entry, detection, None)
    converted = _as_target(detection, entry)
    return "not_convertible" if converted is None else Candidate(index, entry, detection, converted)


def _as_target(detection: Seen, entry: AlignmentEntry) -> Annotation | None:
    if entry.target.option_id is None:
        # Every class of `AnnotationValue` is a member of the union `Annotation`.
        return cast(Annotation | None, detection.annotation.convert(entry.target_type))
    if entry.target_type not in CLASSIFICATION_TYPES or not may_become(detection.kind, entry.target_type):
        return None
    return entry.chosen


def _within_counts(candidates: list[Candidate], reasons: dict[int, Reason]) -> list[Candidate]:
    taken: Counter[int] = Counter()
    kept = []
    for candidate in sorted(candidates, key=lambda one: (-one.detection.confidence, *_place(one))):
        limit = candidate.entry.max_count
        if limit is not None and taken[candidate.number] >= limit:
            _note(reasons, candidate.detection.ordinal, "over_max_count")
            continue
        taken[candidate.number] += 1
        kept.append(candidate)
    return kept


def _without_conflicts(candidates: list[Candidate], reasons: dict[int, Reason]) -> list[Candidate]:
    """A radio has one answer, a checklist each option once: the surest wins, the first of equals."""
    best: dict[tuple[UUID, UUID | None], Candidate] = {}
    claims = [candidate.claims() for candidate in candidates]
    for candidate, places in zip(candidates, claims, strict=True):
        for place in places:
            rival = best.get(place)
            if rival is None or candidate.detection.confidence > rival.detection.confidence:
                best[place] = candidate
    kept = []
    for candidate, places in zip(candidates, claims, strict=True):
        if all(best[place] is candidate for place in places):
            kept.append(candidate)
        else:
            once = any(claim is None for _, claim in places)
            _note(reasons, candidate.detection.ordinal, "radio_conflict" if once else "duplicate_answer")
    return kept


def _counted(detections: Sequence[Seen], dropped: Mapping[int, Reason]) -> dict[tuple[str, str], int]:
    """By model class and where it went."""
    ledger: dict[tuple[str, str], int] = {}
    for one in detections:
        place = (one.model_class, dropped.get(one.ordinal, SHOWN))
        ledger[place] = ledger.get(place, 0) + 1
    return ledger


def _place(candidate: Candidate) -> tuple[int, int]:
    return candidate.detection.ordinal, candidate.number


def _note(reasons: dict[int, Reason], ordinal: int, reason: Reason) -> None:
    if _PROGRESS[reason] > _PROGRESS[reasons[ordinal]]:
        reasons[ordinal] = reason
