"""A project's worth of labels for exchange formats: an ontology with every feature type, rows with every kind."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco

from services.api.exchange.formats.base import ExchangeFormat, Exporting, Importing, Piece, Refusal
from services.api.exchange.histories import History
from services.api.exchange.losses import Losses
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts, What
from services.api.exchange.vocabulary import Vocabulary
from shared.annotations import (
    Annotation,
    BoundingBox,
    CheckedOption,
    Checklist,
    FeatureType,
    FreeText,
    Keypoint,
    Keypoints,
    Mask,
    Point,
    Polygon,
    PolygonPart,
    Polyline,
    Radio,
    TextEntity,
)
from shared.answers import Answer
from shared.ids import new_id
from shared.ontology import Classification, FeatureSchema, Ontology, Option, Tool, with_ids
from shared.preprocessing import MediaType

WIDTH, HEIGHT = 64, 48
TEXT = "Die Straße 😀 nach Köln: zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich."
PROJECT = UUID(int=7)


def _nested() -> tuple[Classification, ...]:
    shade = Classification(type="free_text", name="shade")
    return (
        Classification(
            type="radio", name="colour", options=(Option(name="red", classifications=(shade,)), Option(name="blue"))
        ),
        Classification(type="checklist", name="marks", options=(Option(name="torn"), Option(name="wet & old"))),
        Classification(type="free_text", name="note"),
    )


@cache
def vocabulary_of(media_type: MediaType) -> Vocabulary:
    """One tool of every type that the media type has, each with nested classifications, and one classification each."""
    types = ("text_entity",) if media_type == "text" else ("bounding_box", "polygon", "polyline", "point", "mask")
    tools = tuple(Tool.model_validate({"type": one, "name": f"A {one}", "classifications": _nested()}) for one in types)
    scene = Classification(
        type="radio", name="Scene", options=(Option(name="indoors", classifications=_nested()), Option(name="outdoors"))
    )
    flags = Classification(type="checklist", name="Flags", options=(Option(name="blurry"), Option(name="night")))
    caption = Classification(type="free_text", name="Caption")
    return Vocabulary(with_ids(Ontology(tools=tools, classifications=(scene, flags, caption))))


def row_facts(media_type: MediaType, key: str = "street 1.jpg") -> RowFacts:
    if media_type == "text":
        return RowFacts(new_id(), key, text=TEXT, mime_type="text/plain", length=len(TEXT), metadata={"lang": "de"})
    uri = "https://images.example.org/street%201.jpg"
    return RowFacts(
        new_id(), key, uri=uri, mime_type="image/jpeg", width=WIDTH, height=HEIGHT, metadata={"camera": {"number": 3}}
    )


def feature_of(media_type: MediaType, feature_type: FeatureType) -> FeatureSchema:
    return next(one for one in vocabulary_of(media_type).top if one.type is feature_type)


def _inner(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda value: round(value, 3))


_positions = st.tuples(_inner(0, WIDTH), _inner(0, HEIGHT))


def _box(corners: tuple[float, float, float, float]) -> BoundingBox:
    left, top, share_x, share_y = corners
    return BoundingBox(
        left=left, top=top, width=round((WIDTH - left) * share_x, 3), height=round((HEIGHT - top) * share_y, 3)
    )


def _ring(left: float, top: float, right: float, bottom: float) -> tuple[tuple[float, float], ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _polygon(kind: str) -> Polygon:
    hole = (_ring(4, 4, 8, 8)[::-1],) if "hole" in kind else ()
    parts = [PolygonPart(exterior=((1.5, 2), (20, 2), (22.25, 15), (10, 20.5), (1.5, 15)), holes=hole)]
    if "two" in kind:
        parts.append(PolygonPart(exterior=_ring(40, 30, 60, 40.125)))
    return Polygon(parts=tuple(parts))


def _mask(seed: int) -> Mask:
    bitmap = (np.random.default_rng(seed).random((HEIGHT, WIDTH)) > 0.5).astype(np.uint8)
    bitmap[0, 0] = seed % 2
    return Mask(size=(HEIGHT, WIDTH), counts=coco.encode(np.asfortranarray(bitmap))["counts"].decode())


_WORDS_OF_FORMATS = ("true", "FALSE", "null", "1", "a/b", "~1")

_GEOMETRIES: dict[str, st.SearchStrategy[Annotation]] = {
    "bounding_box": st.tuples(_inner(0, 50), _inner(0, 40), st.floats(0.1, 1), st.floats(0.1, 1)).map(_box)
    | st.builds(
        BoundingBox,
        left=st.just(20.0),
        top=st.just(15.0),
        width=_inner(1, 10),
        height=_inner(1, 10),
        rotation=_inner(1, 359),
    ),
    "polygon": st.sampled_from(["plain", "hole", "two", "two hole"]).map(_polygon),
    "polyline": st.lists(_positions, min_size=2, max_size=4).map(lambda points: Polyline(points=tuple(points))),
    "point": _positions.map(lambda at: Point(x=at[0], y=at[1])),
    "keypoints": st.lists(
        st.builds(
            Keypoint,
            name=st.sampled_from(["nose", "ear"]),
            x=_inner(0, WIDTH),
            y=_inner(0, HEIGHT),
            visibility=st.sampled_from([1, 2]),
        ),
        min_size=2,
        max_size=2,
        unique_by=lambda point: point.name,
    ).map(lambda points: Keypoints(points=tuple(points))),
    "mask": st.integers(0, 50).map(_mask),
    "text_entity": st.tuples(st.integers(0, 40), st.integers(1, 40)).map(
        lambda at: TextEntity(start=at[0], end=at[0] + at[1])
    ),
    "free_text": (st.text(min_size=1, max_size=20) | st.sampled_from(_WORDS_OF_FORMATS))
    .filter(lambda text: "\0" not in text)
    .map(lambda text: FreeText(text=text)),
}


def answers_below(vocabulary: Vocabulary, parent: UUID) -> st.SearchStrategy[tuple[Answer, ...]]:
    """Some of the answers that may be given under a tool or option, with those under the options they choose."""

    @st.composite
    def drawn(draw: st.DrawFn) -> tuple[Answer, ...]:
        found: list[Answer] = []
        waiting = [parent]
        while waiting:
            for feature in vocabulary.children(waiting.pop()):
                if draw(st.booleans()):
                    answer = draw(answers_to(vocabulary, feature))
                    found.append(Answer(feature_schema_id=_id(feature), annotation=answer))
                    waiting += answer.option_ids()
        return tuple(found)

    return drawn()


def answers_to(vocabulary: Vocabulary, feature: FeatureSchema) -> st.SearchStrategy[Annotation]:
    options = [_id(one) for one in vocabulary.children(_id(feature))]
    if feature.type is FeatureType.RADIO:
        return st.sampled_from(options).map(lambda one: Radio(option_id=one))
    if feature.type is FeatureType.CHECKLIST:
        some = st.lists(st.sampled_from(options), min_size=1, unique=True)
        return some.map(lambda chosen: Checklist(options=tuple(CheckedOption(option_id=one) for one in chosen)))
    return _GEOMETRIES["free_text"]


def label_records(media_type: MediaType, kind: str, *, confident: bool = False) -> st.SearchStrategy[LabelRecord]:
    """Labels of this kind, under the feature that takes it."""
    vocabulary = vocabulary_of(media_type)
    target = "point" if kind == "keypoints" else kind
    feature = feature_of(media_type, FeatureType(target))
    below = answers_below(vocabulary, _id(feature)) if feature.node == "tool" else st.just(())
    return st.builds(
        LabelRecord,
        annotation=_GEOMETRIES[kind] if kind in _GEOMETRIES else answers_to(vocabulary, feature),
        feature_schema_id=st.just(_id(feature)),
        id=st.builds(lambda: str(new_id())),
        answers=below,
        confidence=st.floats(0, 1).map(lambda value: round(value, 4)) if confident else st.none(),
        model_class=st.just(feature.name) if confident else st.none(),
    )


@dataclass(frozen=True)
class Trip:
    """What became of a row that was written and read again."""

    content: bytes
    records: list[LabelRecord]
    refusals: list[Refusal]
    losses: dict[tuple[str, str], int]


def write(
    one: ExchangeFormat, rows: Sequence[LabelledRow], what: What = "labels", **options: Any
) -> tuple[bytes, Losses]:
    """The file, and what was lost; the frame's own counts are not in it."""
    assert one.write is not None
    losses = Losses(one.losses)
    media_type: MediaType = "text" if rows and rows[0].row.text is not None else "image"
    vocabulary = vocabulary_of(media_type)
    chosen = one.export_options.model_validate(options)
    writer = one.write(Exporting(PROJECT, "Streets", media_type, what, vocabulary, losses, chosen))
    try:
        return b"".join([*writer.begin(), *writer.rows(rows), *writer.end()]), losses
    finally:
        writer.close()


def read(
    one: ExchangeFormat, content: bytes, rows: Sequence[RowFacts], what: What = "labels", **options: Any
) -> Iterator[tuple[RowFacts, LabelRecord] | Refusal]:
    """What the upload says of these data rows."""
    assert one.read is not None
    media_type: MediaType = "text" if rows and rows[0].text is not None else "image"
    chosen = one.import_options.model_validate(options)
    file, vocabulary = io.BytesIO(content), vocabulary_of(media_type)
    reader = one.read(Importing(file, len(content), media_type, what, vocabulary, Losses(one.losses), chosen))
    by_name: dict[object, RowFacts] = {row.global_key: row for row in rows} | {row.id: row for row in rows}
    for piece in reader.pieces():
        if not isinstance(piece, Piece):
            yield piece
            continue
        row = by_name[piece.row.id or piece.row.global_key]
        for found in reader.records(piece, row):
            if not isinstance(found, History):
                yield (row, found) if isinstance(found, LabelRecord) else found


def round_trip(one: ExchangeFormat, row: LabelledRow, what: What = "labels") -> Trip:
    content, losses = write(one, [row], what)
    found = list(read(one, content, [row.row], what))
    records = [entry[1] for entry in found if isinstance(entry, tuple)]
    refusals = [entry for entry in found if isinstance(entry, Refusal)]
    return Trip(content, records, refusals, {(loss.about, loss.code): loss.count for loss in losses.listed()})


def _id(feature: FeatureSchema) -> UUID:
    assert feature.id is not None
    return feature.id
