"""Every exchange format keeps its contract from the day it is named in the registry: what it says that it holds comes
back as it was, and what is lost is counted."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.api.exchange.formats import FORMATS
from services.api.exchange.losses import ASPECTS
from services.api.exchange.rows import LabelledRow
from shared.annotations import KINDS, Annotation
from shared.preprocessing import MediaType
from tests.support.labelled_rows import label_records, round_trip, row_facts

_OF_TEXT = {"text_entity"}
_OF_BOTH = {"radio", "checklist", "free_text"}
_NEVER_LABELS = {"classification"}


def _cases() -> Iterator[tuple[str, MediaType, str]]:
    for name, one in FORMATS.items():
        for media_type in sorted(one.projects):
            for kind in KINDS:
                fits = kind in _OF_BOTH or (kind in _OF_TEXT) == (media_type == "text")
                if kind in one.holds and fits and kind not in _NEVER_LABELS and one.write and one.read:
                    yield name, media_type, kind


CASES = list(_cases())


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_holds_is_said_in_known_words(name: str) -> None:
    one = FORMATS[name]
    assert one.name == name
    assert set(one.holds) <= {*KINDS, *ASPECTS}
    assert {code for codes in one.holds.values() for code in codes} <= set(one.losses)
    assert all(one.losses.values())


@pytest.mark.parametrize(("name", "media_type", "kind"), CASES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_held_comes_back(name: str, media_type: MediaType, kind: str, data: st.DataObject) -> None:
    one = FORMATS[name]
    record = data.draw(label_records(media_type, kind))
    row = row_facts(media_type)
    trip = round_trip(one, LabelledRow(row, [record]))
    assert trip.refusals == []
    assert {about for about, _ in trip.losses} <= {*one.holds}
    if not trip.losses:
        (back,) = trip.records
        assert back.feature_schema_id == record.feature_schema_id
        assert _alike(back.annotation, record.annotation)
        if "answers" in one.holds:
            assert set(back.answers) == set(record.answers)
    for about, code in trip.losses:
        assert code in one.holds[about]


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if "confidence" in one.holds])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_confidence_comes_back(name: str, data: st.DataObject) -> None:
    one = FORMATS[name]
    kind = "text_entity" if "image" not in one.projects else next(kind for kind in KINDS if kind in one.holds)
    media_type: MediaType = "text" if kind == "text_entity" else "image"
    record = data.draw(label_records(media_type, kind, confident=True))
    trip = round_trip(one, LabelledRow(row_facts(media_type), [record]), "pre_labels")
    assert trip.refusals == []
    assert [back.confidence for back in trip.records] == pytest.approx([record.confidence], abs=1e-6)


def _alike(one: Annotation, other: Annotation) -> bool:
    """Equal but for what is lost in conversions to shares and percents."""
    return (
        type(one) is type(other)
        and _numbers(one) == pytest.approx(_numbers(other), abs=1e-5)
        and (_words(one) == _words(other))
    )


def _numbers(annotation: Annotation) -> list[float]:
    return [value for value in _scalars(annotation.model_dump()) if isinstance(value, float | int)]


def _words(annotation: Annotation) -> list[object]:
    return [value for value in _scalars(annotation.model_dump()) if not isinstance(value, float | int)]


def _scalars(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for child in value.values():
            yield from _scalars(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _scalars(child)
    elif value is not None:
        yield value
