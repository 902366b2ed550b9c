"""Every kind of annotation keeps its contract from the day it is named in the union."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from pydantic import ValidationError

from shared.annotations import (
    ANNOTATION,
    CLASSIFICATION_TYPES,
    TOOL_TYPES,
    Annotation,
    AnnotationValue,
    Canvas,
    FeatureType,
    conversion_loss,
    features_taking,
)
from shared.model_card import ModelCard
from tests.unit.shared.strategies import annotations

MEMBERS: tuple[type[AnnotationValue], ...] = get_args(get_args(Annotation)[0])
ID = "00000000-0000-7000-8000-000000000001"
SAMPLES: dict[str, dict[str, Any]] = {
    "bounding_box": {"left": 1.5, "top": 2, "width": 3, "height": 4, "rotation": 30},
    "polygon": {"parts": [{"exterior": [[0, 0], [9, 0], [9, 9]], "holes": [[[5, 2], [6, 2], [6, 3]]]}]},
    "polyline": {"points": [[0, 0], [9, 9]]},
    "point": {"x": 1, "y": 2},
    "keypoints": {"points": [{"name": "nose", "x": 1, "y": 2, "visibility": 1}]},
    "mask": {"size": [2, 2], "counts": "13"},
    "text_entity": {"start": 2, "end": 5},
    "classification": {},
    "radio": {"option_id": ID},
    "checklist": {"options": [{"option_id": ID}]},
    "free_text": {"text": "words"},
}
CANVAS = Canvas(width=20, height=20, length=20)


def kind_of(member: type[AnnotationValue]) -> str:
    return str(member.model_fields["kind"].default)


KINDS = pytest.mark.parametrize("member", MEMBERS, ids=kind_of)


def sample(member: type[AnnotationValue]) -> AnnotationValue:
    kind = kind_of(member)
    return ANNOTATION.validate_python({"kind": kind, **SAMPLES[kind]})


def numbers(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the sample has a coordinate."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in numbers(inner, (*path, key))]
    if isinstance(value, list):
        return [found for key, inner in enumerate(value) for found in numbers(inner, (*path, key))]
    return [path] if isinstance(value, (int, float)) else []


def with_value(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    inner: Any = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


def test_every_kind_has_a_sample_and_every_sample_a_kind() -> None:
    assert {kind_of(member) for member in MEMBERS} == set(SAMPLES)


@KINDS
def test_json_and_back(member: type[AnnotationValue]) -> None:
    value = sample(member)
    assert type(value) is member
    for text in (value.model_dump_json(), value.model_dump_json(exclude_none=True)):
        assert json.loads(text)["kind"] == kind_of(member), "a stored annotation says what it is"
        assert ANNOTATION.validate_json(text) == value


@given(annotations)
def test_any_json_and_back(value: AnnotationValue) -> None:
    assert ANNOTATION.validate_json(value.model_dump_json(exclude_none=True)) == value


@KINDS
def test_unknown_fields_are_refused(member: type[AnnotationValue]) -> None:
    with pytest.raises(ValidationError):
        ANNOTATION.validate_python({"kind": kind_of(member), **SAMPLES[kind_of(member)], "surprise": 1})


@KINDS
def test_every_needed_field_is_needed(member: type[AnnotationValue]) -> None:
    document = {"kind": kind_of(member), **SAMPLES[kind_of(member)]}
    for name, field in member.model_fields.items():
        if field.is_required():
            with pytest.raises(ValidationError):
                ANNOTATION.validate_python({key: value for key, value in document.items() if key != name})


@KINDS
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300, "1x", None, [], True])
def test_numbers_that_are_none_are_refused(member: type[AnnotationValue], value: Any) -> None:
    document = {"kind": kind_of(member), **SAMPLES[kind_of(member)]}
    for path in numbers(SAMPLES[kind_of(member)]):
        optional = len(path) == 1 and not member.model_fields[path[0]].is_required()
        if value is True or (value is None and optional):
            continue  # pydantic reads true as 1
        with pytest.raises(ValidationError):
            ANNOTATION.validate_python(with_value(document, path, value))


@KINDS
def test_values_never_change(member: type[AnnotationValue]) -> None:
    value = sample(member)
    with pytest.raises(ValidationError):
        value.kind = "other"  # type: ignore[attr-defined]


@KINDS
def test_what_takes_it_is_consistent(member: type[AnnotationValue]) -> None:
    value, taken_by = sample(member), member.taken_by
    taking = features_taking(kind_of(member))
    assert taken_by not in member.becomes
    assert taking == set(member.becomes) | ({taken_by} if taken_by else set())
    assert all(conversion_loss(kind_of(member), target) for target in taking), "each says what it loses"
    assert taking, "a kind that no feature takes can never be shown"
    for target in FeatureType:
        converted = value.convert(target)
        if target not in taking:
            assert converted is None
        if target == taken_by:
            assert converted == value
        if converted is not None:
            assert converted.taken_by == target, "what it becomes is what that feature takes"


@KINDS
def test_cutting_never_adds(member: type[AnnotationValue]) -> None:
    value = sample(member)
    whole = value.clip(CANVAS)
    assert whole is not None
    assert type(whole) is member
    area = value.area()
    assert (area is None) == (whole.area() is None)
    if area is not None:
        assert area >= 0
        assert whole.area() == pytest.approx(area)


@given(annotations)
def test_any_conversion_is_stored_and_read_again(value: AnnotationValue) -> None:
    for target in features_taking(kind_of(type(value))):
        converted = value.convert(target)
        if converted is not None:
            assert ANNOTATION.validate_json(converted.model_dump_json()) == converted
            assert converted.taken_by == target


def test_each_feature_type_has_one_kind_of_its_own() -> None:
    own = [member.taken_by for member in MEMBERS if member.taken_by]
    assert sorted(own) == sorted(FeatureType)
    assert set(FeatureType) == TOOL_TYPES | CLASSIFICATION_TYPES
    assert not TOOL_TYPES & CLASSIFICATION_TYPES


def test_what_models_give_is_a_kind() -> None:
    kinds = get_args(ModelCard.model_fields["annotation_kind"].annotation)
    assert set(kinds) <= set(SAMPLES)


@pytest.mark.parametrize("document", [{}, {"kind": "cuboid"}, {"left": 1}, [], None, "bounding_box"])
def test_what_has_no_kind_is_refused(document: Any) -> None:
    with pytest.raises(ValidationError):
        ANNOTATION.validate_python(document)


@given(annotations, annotations)
def test_likeness_is_a_share_and_the_same_from_both_sides(one: AnnotationValue, other: AnnotationValue) -> None:
    likeness = one.likeness(other)
    assert 0 <= likeness <= 1 + 1e-6
    assert likeness == pytest.approx(other.likeness(one), abs=1e-6)
    if type(one) is not type(other):
        assert likeness == 0
    if one.area() is None or (one.area() or 0) > 1e-3:
        assert one.likeness(one) == pytest.approx(1, abs=1e-3)


@KINDS
def test_alike_and_touching_are_shares(member: type[AnnotationValue]) -> None:
    assert 0 < member.touching_from <= member.alike_from <= 1
