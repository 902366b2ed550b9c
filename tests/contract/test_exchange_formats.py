"""Every exchange format keeps its contract from the day it is named in the registry: what it says that it holds comes
back as it was, and what is lost is counted."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.api.exchange.formats import FORMATS
from services.api.exchange.formats.base import Exporting, Importing, Piece
from services.api.exchange.losses import ASPECTS, Losses
from services.api.exchange.rows import LabelledRow
from shared.annotations import KINDS, Annotation, BoundingBox, TextEntity
from shared.preprocessing import MediaType
from tests.support.labelled_rows import PROJECT, label_records, round_trip, row_facts, vocabulary_of
from tests.support.uploads import label

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


@pytest.mark.parametrize("name", FORMATS)
def test_every_step_may_be_in_another_thread(name: str) -> None:
    """As the frame does it: one after the other, each in whatever thread is free."""
    one = FORMATS[name]
    assert one.write is not None
    assert one.read is not None
    media_type: MediaType = "image" if "image" in one.projects else "text"
    annotation = BoundingBox(left=1, top=2, width=3, height=4) if media_type == "image" else TextEntity(start=1, end=4)
    record, vocabulary = label(f"A {annotation.kind}", annotation, media_type), vocabulary_of(media_type)
    rows = [LabelledRow(row_facts(media_type, f"{number}.jpg"), [record]) for number in range(3)]
    about = Exporting(PROJECT, "p", media_type, "labels", vocabulary, Losses(one.losses), one.export_options())
    with _Threads() as threads:
        writer = threads.next(one.write, about)
        content = b"".join(threads.next(list, writer.begin()))
        content += b"".join(piece for row in rows for piece in threads.next(list, writer.rows([row])))
        ending = iter(writer.end())
        while piece := threads.next(next, ending, b""):
            content += piece
        threads.next(writer.close)
        file = io.BytesIO(content)
        reader = one.read(
            Importing(file, len(content), media_type, "labels", vocabulary, about.losses, one.import_options())
        )
        pieces, found = iter(reader.pieces()), 0
        while (cut := threads.next(next, pieces, None)) is not None:
            assert isinstance(cut, Piece)
            found += len(threads.next(list, reader.records(cut, rows[0].row)))
    assert found == len(rows)


class _Threads:
    """Three, in turns; all live until the end, since an ended one's name is given to the next."""

    def __enter__(self) -> Self:
        self._executors = [ThreadPoolExecutor(1) for _ in range(3)]
        self._in_turns = cycle(self._executors)
        return self

    def next(self, step: Callable[..., Any], *of: object) -> Any:
        return next(self._in_turns).submit(step, *of).result()

    def __exit__(self, *error: object) -> None:
        for one in self._executors:
            one.shutdown()


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
