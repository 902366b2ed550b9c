"""Prelabel's own format: what it writes it reads back, in the same project and in one with other ids."""

import io
from collections.abc import Iterable
from uuid import UUID

import pytest

from services.api.exchange.formats import FORMATS
from services.api.exchange.formats.base import Exporting, Importing, Options, Piece, Refusal
from services.api.exchange.histories import History
from services.api.exchange.losses import Losses
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts
from services.api.exchange.vocabulary import Vocabulary
from shared.annotations import BoundingBox, Radio
from shared.answers import Answer
from shared.ids import new_id
from shared.ontology import Classification, Ontology, Option, Tool, with_ids

FORMAT = FORMATS["prelabel"]
ONTOLOGY = Ontology(
    tools=(
        Tool(
            type="bounding_box",
            name="Car",
            classifications=(Classification(type="radio", name="colour", options=(Option(name="red"),)),),
        ),
    )
)


def _write(vocabulary: Vocabulary, rows: list[LabelledRow]) -> bytes:
    assert FORMAT.write is not None
    writer = FORMAT.write(Exporting(new_id(), "p", "image", "labels", vocabulary, Losses(FORMAT.losses), Options()))
    return b"".join([*writer.begin(), *writer.rows(rows), *writer.end()])


def _read(vocabulary: Vocabulary, content: bytes, row: RowFacts) -> Iterable[LabelRecord | History | Refusal]:
    assert FORMAT.read is not None
    importing = Importing(
        io.BytesIO(content), len(content), "image", "labels", vocabulary, Losses(FORMAT.losses), Options()
    )
    reader = FORMAT.read(importing)
    for piece in reader.pieces():
        if isinstance(piece, Piece):
            yield from reader.records(piece, row)
        else:
            yield piece


def _labelled(vocabulary: Vocabulary) -> LabelledRow:
    car = vocabulary.named("car")
    assert car is not None
    assert car.id is not None
    colour = vocabulary.children(car.id)[0]
    assert colour.id is not None
    red = vocabulary.named("red", colour.id)
    assert red is not None
    assert red.id is not None
    answer = Answer(feature_schema_id=colour.id, annotation=Radio(option_id=red.id))
    record = LabelRecord(
        BoundingBox(left=1.5, top=2, width=3, height=4),
        car.id,
        id=str(new_id()),
        answers=(answer,),
        confidence=0.25,
        model_class="car",
        provenance={"source": "hand"},
        extras={"coco": {"iscrowd": 1}},
    )
    return LabelledRow(RowFacts(new_id(), "one.jpg", uri="https://x/one.jpg", width=10, height=10), [record])


def test_what_is_written_is_read_back() -> None:
    vocabulary = Vocabulary(with_ids(ONTOLOGY))
    row = _labelled(vocabulary)
    assert list(_read(vocabulary, _write(vocabulary, [row]), row.row)) == list(row.labels)


def test_another_project_has_other_ids_for_the_same_names() -> None:
    here, there = Vocabulary(with_ids(ONTOLOGY)), Vocabulary(with_ids(ONTOLOGY))
    row, expected = _labelled(here), _labelled(there)
    (read,) = _read(there, _write(here, [row]), row.row)
    assert isinstance(read, LabelRecord)
    assert (read.feature_schema_id, read.answers) == (expected.labels[0].feature_schema_id, expected.labels[0].answers)


def test_what_the_other_ontology_lacks_is_refused_by_name() -> None:
    vocabulary = Vocabulary(with_ids(ONTOLOGY))
    row = _labelled(vocabulary)
    (refused,) = _read(Vocabulary(Ontology()), _write(vocabulary, [row]), row.row)
    assert isinstance(refused, Refusal)
    assert (refused.place, refused.error.code) == (2, "unknown_feature")


@pytest.mark.parametrize("kept", [1, 2])
def test_a_file_that_was_cut_off_is_said_to_be(kept: int) -> None:
    vocabulary = Vocabulary(with_ids(ONTOLOGY))
    row = _labelled(vocabulary)
    content = b"".join(_write(vocabulary, [row]).splitlines(keepends=True)[:kept])
    *_, last = _read(vocabulary, content, row.row)
    assert isinstance(last, Refusal)
    assert last.error.code == "cut_off"


def test_a_line_of_one_own_hand_needs_no_header() -> None:
    vocabulary = Vocabulary(with_ids(ONTOLOGY))
    box = b'{"kind":"bounding_box","left":0,"top":0,"width":1,"height":1}'
    line = b'{"data_row":{"global_key":"a"},"labels":[{"feature":"CAR ","annotation":%s}]}' % box
    (read,) = _read(vocabulary, line, RowFacts(UUID(int=1), "a"))
    assert isinstance(read, LabelRecord)
    assert read.annotation == BoundingBox(left=0, top=0, width=1, height=1)
