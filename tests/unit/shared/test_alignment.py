"""`select`: every detection is accounted for, and what is shown follows from the entries alone."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.alignment import Alignment, AlignmentEntry, Detection, Target
from shared.annotations import (
    ANNOTATION,
    BoundingBox,
    CheckedOption,
    Checklist,
    Classification,
    FeatureType,
    FreeText,
    Polygon,
    PolygonPart,
    Radio,
)
from shared.answers import Answer, AnswerFromAttribute
from shared.conditions import Condition, Range
from shared.selection import SHOWN, Selection, select
from tests.unit.shared.strategies import IDS, annotations, ids, mask_of

CLASSES = ["cat", "dog", "person"]
BOX = BoundingBox(left=0, top=0, width=10, height=10)
units = st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.7, 1.0])
ranges = st.builds(Range, minimum=st.none() | units, maximum=st.none() | units)
conditions = st.builds(
    Condition, confidence=st.none() | ranges, attribute=st.dictionaries(st.just("small"), st.booleans())
)
entries = st.builds(
    AlignmentEntry,
    model_class=st.sampled_from(CLASSES[:2]),
    target=st.builds(Target, feature_schema_id=ids, option_id=st.none() | ids),
    target_type=st.sampled_from(list(FeatureType)),
    threshold=units,
    when=st.none() | conditions,
    min_area=st.none() | st.floats(0, 1e4),
    max_count=st.none() | st.integers(1, 3),
)


@st.composite
def rows(draw: st.DrawFn) -> list[Detection]:
    """The detections of one data row."""
    found = draw(st.lists(st.tuples(st.sampled_from(CLASSES), units, annotations, st.booleans()), max_size=6))
    return [
        Detection(
            ordinal=ordinal,
            model_class=model_class,
            confidence=confidence,
            area=annotation.area(),
            attributes={"small": small},
            annotation=annotation,
        )
        for ordinal, (model_class, confidence, annotation, small) in enumerate(found)
    ]


def detection(ordinal: int, confidence: float, annotation: Any = BOX, **more: Any) -> Detection:
    given = {"model_class": "cat", "area": annotation.area(), **more}
    return Detection(ordinal=ordinal, confidence=confidence, annotation=annotation, **given)


def entry(target_type: FeatureType = FeatureType.BOUNDING_BOX, **more: Any) -> AlignmentEntry:
    given = {"model_class": "cat", "target": Target(feature_schema_id=IDS[0]), "threshold": 0.5, **more}
    return AlignmentEntry(target_type=target_type, **given)


def seen(detections: list[Detection], *through: AlignmentEntry) -> Selection:
    return select(detections, Alignment(entries=through))


def option(number: int, target_type: FeatureType = FeatureType.RADIO, **more: Any) -> AlignmentEntry:
    return entry(target_type, target=Target(feature_schema_id=IDS[0], option_id=IDS[number]), **more)


@given(rows(), st.lists(entries, max_size=5).map(tuple))
def test_every_detection_is_shown_or_dropped_for_a_reason(row: list[Detection], through: Any) -> None:
    selection = seen(row, *through)
    shown = {pre_label.ordinal for pre_label in selection.shown}
    assert shown.isdisjoint(selection.dropped)
    assert shown | set(selection.dropped) == {one.ordinal for one in row}
    raw = Counter(one.model_class for one in row)
    accounted: Counter[str] = Counter()
    for (model_class, _), count in selection.ledger.items():
        accounted[model_class] += count
    assert accounted == raw, "raw = shown + all dropped, per class"
    assert sum(count for (_, reason), count in selection.ledger.items() if reason == SHOWN) == len(shown)


@given(rows(), st.lists(entries, max_size=5).map(tuple))
def test_what_is_shown_met_its_rule_and_is_of_its_type(row: list[Detection], through: Any) -> None:
    of = {(one.target.feature_schema_id, one.target.option_id, one.target_type) for one in through}
    for pre_label in seen(row, *through).shown:
        assert pre_label.confidence >= pre_label.threshold
        member = ANNOTATION.validate_python(pre_label.annotation.model_dump())
        target = pre_label.target
        assert (target.feature_schema_id, target.option_id, member.taken_by) in of


@given(rows(), st.lists(entries, max_size=4), st.randoms())
def test_the_order_of_entries_decides_ties_of_answers_alone(row: list[Detection], through: Any, random: Any) -> None:
    shuffled = random.sample(through, len(through))
    one, other = seen(row, *through), seen(row, *shuffled)
    if not any(pre_label.annotation.claims() for pre_label in (*one.shown, *other.shown)):
        assert one.ledger == other.ledger
        assert one.dropped == other.dropped
        assert Counter(map(repr, one.shown)) == Counter(map(repr, other.shown))


@given(rows(), st.lists(entries, max_size=4).map(tuple), units)
def test_a_higher_threshold_shows_no_more(row: list[Detection], through: tuple[AlignmentEntry, ...], by: float) -> None:
    free = tuple(one.model_copy(update={"max_count": None}) for one in through)
    higher = tuple(one.model_copy(update={"threshold": max(one.threshold, by)}) for one in free)
    assert len(seen(row, *higher).shown) <= len(seen(row, *free).shown)


@pytest.mark.parametrize(("confidence", "shown"), [(0.5, 1), (0.4999999, 0), (1.0, 1)])
def test_at_the_threshold_is_shown(confidence: float, shown: int) -> None:
    selection = seen([detection(0, confidence)], entry())
    assert len(selection.shown) == shown
    if not shown:
        assert selection.dropped == {0: "below_threshold"}


def test_a_class_without_an_entry_is_unmapped() -> None:
    assert seen([detection(0, 0.9, model_class="dog")], entry()).ledger == {("dog", "unmapped"): 1}


def test_all_matching_entries_apply() -> None:
    selection = seen([detection(0, 0.9)], entry(), entry(FeatureType.POLYGON), entry(FeatureType.MASK))
    assert [type(one.annotation) for one in selection.shown] == [BoundingBox, Polygon]
    assert selection.ledger == {("cat", SHOWN): 1}, "the ledger counts detections"


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (Condition(area=Range(minimum=100)), True),
        (Condition(area=Range(maximum=100)), False),
        (Condition(area=Range(minimum=100, maximum=101), confidence=Range(minimum=0.9)), True),
        (Condition(confidence=Range(maximum=0.9)), False),
        (Condition(attribute={"colour": "red"}), True),
        (Condition(attribute={"colour": "red", "wild": True}), False),
    ],
)
def test_conditions_are_half_open_and_all_must_hold(when: Condition, holds: bool) -> None:
    selection = seen([detection(0, 0.9, attributes={"colour": "red"})], entry(when=when))
    assert bool(selection.shown) is holds
    assert selection.dropped == ({} if holds else {0: "condition_not_met"})


def test_what_has_no_area_meets_no_area_and_no_least_area() -> None:
    whole = detection(0, 0.9, Classification())
    assert seen([whole], option(1, when=Condition(area=Range(minimum=0)))).dropped == {0: "condition_not_met"}
    assert len(seen([whole], option(1, min_area=5)).shown) == 1
    assert seen([detection(0, 0.9)], entry(min_area=101)).dropped == {0: "too_small"}


def test_the_surest_are_kept_and_shown_in_order() -> None:
    row = [detection(0, 0.6), detection(1, 0.9), detection(2, 0.6), detection(3, 0.7)]
    selection = seen(row, entry(max_count=3))
    assert [one.ordinal for one in selection.shown] == [0, 1, 3]
    assert selection.dropped == {2: "over_max_count"}
    assert selection.uncertainty == pytest.approx(0.4)


def test_a_radio_has_one_answer() -> None:
    row = [detection(0, 0.6, Classification()), detection(1, 0.8, Classification(), model_class="dog")]
    selection = seen(row, option(1), option(2, model_class="dog"))
    assert [one.annotation for one in selection.shown] == [Radio(option_id=IDS[2])]
    assert selection.dropped == {0: "radio_conflict"}


def test_a_checklist_has_many() -> None:
    row = [detection(0, 0.6, Classification()), detection(1, 0.8, Classification(), model_class="dog")]
    selection = seen(row, option(1, FeatureType.CHECKLIST), option(2, FeatureType.CHECKLIST, model_class="dog"))
    assert [type(one.annotation) for one in selection.shown] == [Checklist, Checklist]


def test_a_checklist_has_each_option_once() -> None:
    row = [detection(n, c, Classification(), model_class=name) for n, (c, name) in enumerate(_PETS)]
    through = [option(1, FeatureType.CHECKLIST, model_class=name) for _, name in _PETS]
    selection = seen(row, *through)
    assert [one.ordinal for one in selection.shown] == [1]
    assert selection.dropped == {0: "duplicate_answer", 2: "duplicate_answer"}


_PETS = ((0.6, "cat"), (0.8, "dog"), (0.8, "person"))


@pytest.mark.parametrize(
    ("annotation", "through"),
    [
        (BOX, option(1)),  # a box somewhere is not an answer about the whole row
        (BOX, option(1, FeatureType.POLYGON)),
        (Classification(), option(1, FeatureType.FREE_TEXT)),
        (Classification(), entry(FeatureType.RADIO)),
        (BOX, entry(FeatureType.MASK)),
    ],
)
def test_where_there_is_no_honest_way_nothing_is_shown(annotation: Any, through: AlignmentEntry) -> None:
    assert seen([detection(0, 0.9, annotation)], through).dropped == {0: "not_convertible"}


def test_the_reason_is_where_it_got_furthest() -> None:
    selection = seen([detection(0, 0.4)], entry(FeatureType.MASK, threshold=0.1), entry())
    assert selection.dropped == {0: "not_convertible"}


_READ = AnswerFromAttribute(feature_schema_id=IDS[1], attribute="text", type=FeatureType.FREE_TEXT)
_COLOUR = AnswerFromAttribute(
    feature_schema_id=IDS[2], attribute="colour", type=FeatureType.RADIO, options={"dark red": IDS[3]}
)
_POSE = Answer(feature_schema_id=IDS[3], annotation=Checklist(options=(CheckedOption(option_id=IDS[0]),)))


@pytest.mark.parametrize(
    ("attributes", "read", "red"),
    [
        ({"text": "EXIT", "colour": "Dark Red "}, "EXIT", True),
        ({"text": "", "colour": "red"}, None, False),
        ({"text": 12.5, "colour": True}, "12.5", False),
        ({"text": True}, "true", False),
        ({}, None, False),
        ({"text": "x" * 100_001}, "x" * 100_000, False),
    ],
)
def test_a_detection_brings_answers(attributes: Any, read: str | None, red: bool) -> None:
    through = entry(answers=(_READ, _POSE, _COLOUR))
    (shown,) = seen([detection(0, 0.9, attributes=attributes)], through).shown
    expected = [Answer(feature_schema_id=IDS[1], annotation=FreeText(text=read))] if read else []
    expected.append(_POSE)
    if red:
        expected.append(Answer(feature_schema_id=IDS[2], annotation=Radio(option_id=IDS[3])))
    assert list(shown.answers) == expected


def test_constant_answers_are_those_of_the_entry_itself() -> None:
    through = entry(answers=(_POSE,))
    (shown,) = seen([detection(0, 0.9)], through).shown
    assert shown.answers == through.answers
    assert AlignmentEntry.model_validate_json(through.model_dump_json()) == through
    by_attribute = entry(answers=(_READ, _COLOUR))
    assert AlignmentEntry.model_validate(by_attribute.model_dump(mode="json")) == by_attribute


_RING = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))
_HOLE = ((2.0, 2.0), (8.0, 2.0), (8.0, 8.0), (2.0, 8.0))


@pytest.mark.parametrize(
    ("annotation", "area"),
    [
        (BOX, 100),
        (BoundingBox(left=0, top=0, width=4, height=5, rotation=45), 20),
        (Polygon(parts=(PolygonPart(exterior=_RING, holes=(_HOLE,)),)), 64),
        (Polygon(parts=(PolygonPart(exterior=_RING), PolygonPart(exterior=_HOLE))), 100),
        (mask_of(np.eye(6, dtype=np.uint8)), 6),
    ],
)
def test_the_least_area_is_that_of_what_the_model_said(annotation: Any, area: float) -> None:
    for target in (annotation.taken_by, *annotation.becomes):
        assert len(seen([detection(0, 0.9, annotation)], entry(target, min_area=area)).shown) == 1
        too_small = seen([detection(0, 0.9, annotation)], entry(target, min_area=area + 0.001))
        assert too_small.dropped == {0: "too_small"}


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf")])
def test_thresholds_lie_between_0_and_1(threshold: float) -> None:
    with pytest.raises(ValidationError):
        entry(threshold=threshold)


def test_nothing_shown_is_no_uncertainty() -> None:
    assert seen([]).uncertainty == 0
