"""Sweeps against brute force: `select` at every threshold, and a matching of its own."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.api.previews.matching import Thing, match, things_of
from services.api.previews.strata import allocate
from services.api.previews.sweep import THRESHOLDS, SweptRow, quality, shown_at_least, sweep
from shared.alignment import Alignment, AlignmentEntry, Detection, Target
from shared.annotations import AnnotationValue, BoundingBox, Classification, FeatureType, TextEntity
from shared.selection import SHOWN, select
from tests.unit.shared.strategies import IDS
from tests.unit.shared.test_alignment import entries, rows

confidences = st.sampled_from([0.05, 0.06, 0.29, 0.3, 0.57, 0.58, 0.7, 0.999, 1.0]) | st.floats(0, 1)
floors = st.sampled_from([0.0, 0.05, 0.055, 0.3])


def _stored(row: Sequence[Detection], sure: Sequence[float], floor: float) -> list[Detection]:
    again = [one.model_copy(update={"confidence": value}) for one, value in zip(row, sure, strict=True)]
    return [one for one in again if one.confidence >= floor]


@st.composite
def samples(draw: st.DrawFn) -> tuple[list[list[Detection]], float]:
    floor = draw(floors)
    found = draw(st.lists(rows(), max_size=4))
    return [
        _stored(row, draw(st.lists(confidences, min_size=len(row), max_size=len(row))), floor) for row in found
    ], floor


@given(samples(), st.lists(entries, min_size=1, max_size=5))
@settings(max_examples=80)
def test_every_point_is_what_select_shows(
    sample: tuple[list[list[Detection]], float], found: list[AlignmentEntry]
) -> None:
    stored, floor = sample
    alignment = Alignment(entries=tuple(found))
    swept = sweep((SweptRow(select(row, alignment.at(floor)).visible, None) for row in stored), alignment)
    assert set(swept) == {entry.model_class for entry in found}
    curves = {name: (shown_at_least(one.detections), shown_at_least(one.pre_labels)) for name, one in swept.items()}
    for place, threshold in enumerate(THRESHOLDS):
        if threshold < floor:
            continue
        selections = [select(row, alignment.at(float(threshold))) for row in stored]
        pre_labels = Counter(one.model_class for selection in selections for one in selection.shown)
        for name, (detections, shown) in curves.items():
            assert shown[place] == pre_labels[name]
            assert detections[place] == sum(selection.ledger.get((name, SHOWN), 0) for selection in selections)


BOXES = [BoundingBox(left=left, top=0, width=10, height=10) for left in (0.0, 2.0, 4.0, 5.0, 30.0, 31.0)]
SPANS = [TextEntity(start=start, end=end) for start, end in ((0, 4), (0, 5), (4, 9), (20, 22))]
CAR, VEHICLE = "car", IDS[0]


def _entry(model_class: str, place: int, kind: FeatureType, **more: Any) -> AlignmentEntry:
    target = Target(feature_schema_id=IDS[place], option_id=more.pop("option_id", None))
    return AlignmentEntry(model_class=model_class, target=target, target_type=kind, threshold=0.5, **more)


ALIGNMENTS: dict[str, tuple[Alignment, list[Any], list[tuple[int, AnnotationValue]]]] = {
    "boxes": (
        Alignment(
            entries=(
                _entry("car", 0, FeatureType.BOUNDING_BOX),
                _entry("truck", 0, FeatureType.BOUNDING_BOX, max_count=2),
                _entry("truck", 1, FeatureType.BOUNDING_BOX),
            )
        ),
        BOXES,
        [(place, box) for place in (0, 1, 2) for box in BOXES],
    ),
    "spans": (
        Alignment(entries=(_entry("car", 0, FeatureType.TEXT_ENTITY), _entry("truck", 1, FeatureType.TEXT_ENTITY))),
        SPANS,
        [(place, span) for place in (0, 1) for span in SPANS],
    ),
}


def _brute_match(found: Sequence[tuple[float, Thing]], labels: Sequence[Thing], roughly: bool) -> int:
    """How many are right, by its own greedy way."""
    taken: set[int] = set()
    for _, thing in sorted(found, key=lambda one: -one[0]):
        options = [
            (thing.shape.likeness(label.shape), -place)
            for place, label in enumerate(labels)
            if place not in taken and label.place == thing.place and thing.shape and label.shape
        ]
        least = 0.5 if isinstance(thing.shape, BoundingBox) else (1e-9 if roughly else 1.0)
        enough = [option for option in options if option[0] >= least]
        if enough:
            taken.add(-max(enough)[1])
    return len(taken)


@given(st.data(), st.sampled_from(sorted(ALIGNMENTS)), st.booleans())
@settings(max_examples=80)
def test_quality_is_that_of_brute_force(data: st.DataObject, kind: str, roughly: bool) -> None:
    alignment, shapes, pool = ALIGNMENTS[kind]
    floor = data.draw(floors)
    said = st.lists(
        st.tuples(st.sampled_from(["car", "truck", "bird"]), confidences, st.sampled_from(shapes)), max_size=6
    )
    drawn = data.draw(st.lists(st.tuples(said, st.none() | st.lists(st.sampled_from(pool), max_size=4)), max_size=4))
    sample = [
        (
            [
                Detection(ordinal=n, model_class=name, confidence=sure, annotation=shape)
                for n, (name, sure, shape) in enumerate(row)
                if sure >= floor
            ],
            None if labels is None else [thing for at, shape in labels for thing in things_of(IDS[at], shape)],
        )
        for row, labels in drawn
    ]  # fmt: skip
    swept = sweep(
        (SweptRow(select(row, alignment.at(floor)).visible, labels) for row, labels in sample),
        alignment,
        roughly=roughly,
    )
    first = int(np.searchsorted(THRESHOLDS, floor))
    for name, one in swept.items():
        places = {entry.target.feature_schema_id for entry in alignment.entries if entry.model_class == name}
        curve = quality(one, first)
        best: list[float] = []
        for place in range(first, 101):
            right = judged = wanted = 0
            for row, labels in sample:
                if labels is None:
                    continue
                shown = [p for p in select(row, alignment.at(float(THRESHOLDS[place]))).shown if p.model_class == name]
                things = [(p.confidence, Thing((p.target.feature_schema_id, None), p.annotation)) for p in shown]
                mine = [label for label in labels if label.place[0] in places]
                right += _brute_match(things, mine, roughly)
                judged, wanted = judged + len(shown), wanted + len(mine)
            expected = (right / judged if judged else np.nan, right / wanted if wanted else np.nan)
            f1 = 2 * right / (judged + wanted) if judged + wanted else np.nan
            best.append(f1)
            assert (curve.precision[place], curve.recall[place]) == pytest.approx(expected, nan_ok=True)
            assert curve.f1[place] == pytest.approx(f1, nan_ok=True)
        if one.labels and max(best) > 0:
            assert curve.best is not None
            assert best[curve.best - first] == pytest.approx(max(best))
        else:
            assert curve.best is None


def test_answers_match_by_their_option() -> None:
    alignment = Alignment(
        entries=(
            _entry("cat", 0, FeatureType.RADIO, option_id=IDS[1]),
            _entry("dog", 0, FeatureType.RADIO, option_id=IDS[2]),
        )
    )

    def row(*said: tuple[str, float]) -> list[Detection]:
        return [
            Detection(ordinal=n, model_class=name, confidence=sure, annotation=Classification())
            for n, (name, sure) in enumerate(said)
        ]

    answered = [Thing((IDS[0], IDS[1]), None)]
    sample = [
        (row(("cat", 0.9), ("dog", 0.4)), answered),
        (row(("cat", 0.3), ("dog", 0.6)), answered),
        (row(("cat", 0.2)), answered),
        (row(("cat", 0.8)), None),
    ]
    swept = sweep((SweptRow(select(one, alignment.at(0.05)).visible, labels) for one, labels in sample), alignment)
    cat = quality(swept["cat"], 5)
    assert list(shown_at_least(swept["cat"].pre_labels)[[5, 20, 21, 80, 81, 90, 91]]) == [3, 3, 2, 2, 1, 1, 0]
    assert (cat.precision[10], cat.recall[10]) == (1.0, pytest.approx(2 / 3))
    assert (cat.precision[50], cat.recall[50]) == (1.0, pytest.approx(1 / 3))
    assert swept["dog"].labels == 0
    assert quality(swept["dog"], 5).best is None


def test_the_surest_takes_the_label_it_is_most_alike() -> None:
    things = [Thing((VEHICLE, None), box) for box in BOXES]
    assert match([things[1], things[0]], [things[0]]) == [True, False]
    assert match([things[0], things[1]], [things[1], things[0]]) == [True, True]
    assert match([things[0]], [Thing((IDS[1], None), BOXES[0])]) == [False]
    assert match([things[0]], []) == [False]


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 400), min_size=1, max_size=12), st.integers(0, 300))
def test_strata_are_taken_in_proportion_and_none_is_left_out(counts: dict[str, int], more: int) -> None:
    size = len(counts) + more
    quotas = allocate(counts, size)
    assert set(quotas) == set(counts)
    assert all(1 <= quotas[one] <= counts[one] for one in counts)
    assert sum(quotas.values()) == min(size, sum(counts.values()))
    for one, other in ((one, other) for one in counts for other in counts if counts[one] <= counts[other]):
        assert quotas[one] <= quotas[other] + 1
    total = sum(counts.values())
    if total > size and min(counts.values()) * size >= total:  # nobody needs the one place that everybody has
        for one, count in counts.items():
            assert abs(quotas[one] - size * count / total) < len(counts)


def test_samples_of_strata_are_the_same_in_any_order() -> None:
    counts = {"a": 30, "b": 9, "c": 1, "d": 10}
    assert allocate(counts, 10) == {"a": 5, "b": 2, "c": 1, "d": 2}
    assert allocate(dict(reversed(counts.items())), 10) == allocate(counts, 10)
