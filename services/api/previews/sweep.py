"""What is shown, and how good it is, at every threshold from 0.00 to 1.00. Pure.

One look is enough: with the same threshold for all entries, what is shown at a higher one is what is shown at the floor
without the less sure. Conditions and areas do not ask for the threshold; counts and conflicts are won by the surest.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.api.previews.matching import Place, Thing, match, things_of
from shared.alignment import Alignment
from shared.selection import Candidate

THRESHOLDS: NDArray[np.float64] = np.array([hundredth / 100 for hundredth in range(101)])
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SweptRow:
    """What a data row shows at the floor. `labels` are what people said of it; None when nobody has looked at it."""

    visible: Sequence[Candidate]
    labels: Sequence[Thing] | None


@dataclass(slots=True)
class ClassSweep:
    """`detections` and `pre_labels` are the confidences of what is shown, `true` those of pre-labels that a label of
    the same data row confirms, `judged` of all on labeled data rows. `labels` counts those it could have found."""

    detections: list[float] = field(default_factory=list)
    pre_labels: list[float] = field(default_factory=list)
    judged: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    labels: int = 0


@dataclass(frozen=True, slots=True)
class Quality:
    """At each threshold; NaN where there is nothing to divide by. `best` is the threshold of the best F1."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    best: int | None


def sweep(rows: Iterable[SweptRow], alignment: Alignment, *, roughly: bool = False) -> dict[str, ClassSweep]:
    """By model class, those of the alignment only: of others nothing is ever shown."""
    classes = {name: ClassSweep() for name in alignment.by_class}
    places = _places(alignment)
    for row in rows:
        _count(row.visible, classes)
        if row.labels is not None:
            _judge(row.visible, row.labels, classes, places, roughly)
    return classes


def shown_at_least(confidences: Iterable[float]) -> Counts:
    """How many reach each threshold."""
    ordered = np.sort(np.fromiter(confidences, np.float64))
    return len(ordered) - np.searchsorted(ordered, THRESHOLDS, side="left")


def quality(found: ClassSweep, first: int) -> Quality:
    """From the threshold number `first` on."""
    true, judged = shown_at_least(found.true), shown_at_least(found.judged)
    with np.errstate(invalid="ignore"):
        precision = true / np.where(judged == 0, np.nan, judged)
        recall = true / np.where(found.labels == 0, np.nan, float(found.labels))
        f1 = 2 * true / np.where(judged + found.labels == 0, np.nan, judged + found.labels)
    return Quality(precision, recall, f1, _best(f1, first) if found.labels else None)


def _best(f1: NDArray[np.float64], first: int) -> int | None:
    """The middle one of the best, which is the farthest from where it gets worse. None when all are worth nothing."""
    most = np.nanmax(f1[first:])
    if not most > 0:
        return None
    best = np.flatnonzero(f1[first:] == most) + first
    return int(best[len(best) // 2])


def _count(visible: Sequence[Candidate], classes: Mapping[str, ClassSweep]) -> None:
    seen: set[int] = set()
    for candidate in visible:
        of = classes[candidate.detection.model_class]
        of.pre_labels.append(candidate.detection.confidence)
        if candidate.detection.ordinal not in seen:
            seen.add(candidate.detection.ordinal)
            of.detections.append(candidate.detection.confidence)


def _judge(
    visible: Sequence[Candidate],
    labels: Sequence[Thing],
    classes: Mapping[str, ClassSweep],
    places: Mapping[str, frozenset[Place]],
    roughly: bool,
) -> None:
    """Class by class: two classes that mean the same feature do not take the labels from one another."""
    by_class: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in sorted(visible, key=lambda one: -one.detection.confidence):
        by_class[candidate.detection.model_class].append(candidate)
    for name, of in classes.items():
        wanted = [label for label in labels if label.place in places[name]]
        of.labels += len(wanted)
        candidates = by_class.get(name, ())
        of.judged += [candidate.detection.confidence for candidate in candidates]
        if wanted and candidates:
            partners = match([thing_of(candidate) for candidate in candidates], wanted, roughly=roughly)
            of.true += [one.detection.confidence for one, found in zip(candidates, partners, strict=True) if found]


def thing_of(candidate: Candidate) -> Thing:
    target = candidate.entry.target
    if target.option_id is not None:
        return Thing((target.feature_schema_id, target.option_id), None)
    (thing,) = things_of(target.feature_schema_id, candidate.annotation)
    return thing


def _places(alignment: Alignment) -> dict[str, frozenset[Place]]:
    """Where each class puts what it finds."""
    return {
        name: frozenset((entry.target.feature_schema_id, entry.target.option_id) for _, entry in entries)
        for name, entries in alignment.by_class.items()
    }
