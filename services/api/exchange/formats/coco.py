"""COCO: images, annotations and categories, in one JSON document; or results, an array of annotations with scores.

`file_name` of an image is the data row's global key. Its `id` is made of the data row's id, so that it is the same in
every export: results of one export can be compared with the annotations of another.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, BinaryIO, Literal
from uuid import UUID

import orjson
from pydantic import Field, ValidationError

from services.api.exchange.attributes import ReadAttributes, attributes_of, read_attributes
from services.api.exchange.formats.base import (
    ExchangeFormat,
    Exporting,
    Importing,
    Options,
    Piece,
    Refusal,
    Refused,
)
from services.api.exchange.formats.coco_document import Category, CocoDocument
from services.api.exchange.geometry import coco
from services.api.exchange.numbers import confidence
from services.api.exchange.refusals import refused_by
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts
from services.api.exchange.targets import target_named
from shared.annotations import Keypoint

_OURS = frozenset(
    {"id", "image_id", "category_id", "bbox", "area", "segmentation", "keypoints", "num_keypoints", "score"}
    | {"attributes", "prelabel_id", "rotation"}
)
_LINE = orjson.OPT_APPEND_NEWLINE


class CocoExport(Options):
    layout: Literal["dataset", "results"] = Field(
        default="dataset", description="`results`: only the array of annotations with scores, as evaluation reads it"
    )


class CocoWriter:
    def __init__(self, exporting: Exporting) -> None:
        self._about = exporting
        self._vocabulary = exporting.vocabulary
        self._are_results = exporting.options.layout == "results"
        self._categories: dict[UUID, int] = {}
        self._keypoints: dict[int, list[str]] = {}
        self._later: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._images = self._annotations = 0
        for feature in exporting.vocabulary.top:
            if feature.node == "tool" and feature.id is not None:
                self._category(feature.id)

    def begin(self) -> Iterable[bytes]:
        if not self._are_results:
            info = {"description": self._about.project_name, "version": "1.0"}
            yield b'{"info":' + orjson.dumps(info) + b',"licenses":[],"images":['

    def rows(self, rows: Sequence[LabelledRow]) -> Iterable[bytes]:
        pieces = []
        for one in rows:
            image_id = _image_id(one.row)
            if self._are_results and not one.labels:
                self._about.losses.count("empty_rows", "no_images_in_results")
            if not self._are_results:
                pieces.append(b"," * bool(self._images) + b"\n" + orjson.dumps(_image(one.row, image_id)))
                self._images += 1
            for record in one.labels:
                self._annotations += 1
                self._later.write(orjson.dumps(self._annotation(record, one.row, image_id), option=_LINE))
        yield b"".join(pieces)

    def end(self) -> Iterable[bytes]:
        yield b"[" if self._are_results else b'\n],"annotations":['
        self._later.seek(0)
        for place, line in enumerate(self._later):
            yield b"," * bool(place) + b"\n" + self._padded(line.rstrip())
        yield b"\n]\n" if self._are_results else b'\n],"categories":' + orjson.dumps(self._listed()) + b"}\n"

    def close(self) -> None:
        self._later.close()

    def _annotation(self, record: LabelRecord, row: RowFacts, image_id: int) -> dict[str, Any]:
        feature_id = record.feature_schema_id
        assert feature_id is not None  # what leaves has a feature
        category_id = self._category(feature_id)
        shape = coco.written(record.annotation, row, self._about.losses)
        if "keypoints" in shape:
            shape["keypoints"] = self._keypoint_values(category_id, shape["keypoints"])
        found: dict[str, Any] = {"id": self._annotations, "image_id": image_id, "category_id": category_id, **shape}
        if record.confidence is not None:
            found["score"] = record.confidence
        if record.id is not None:
            found["prelabel_id"] = record.id
        extras = self._extras(record)
        answers = attributes_of(self._vocabulary, record.answers, feature_id)
        if attributes := {**extras.pop("attributes", {}), **answers}:
            found["attributes"] = attributes
        return {"iscrowd": 0, **extras, **found}

    def _extras(self, record: LabelRecord) -> dict[str, Any]:
        others = len(set(record.extras) - {"coco"})
        if others:
            self._about.losses.count("extras", "of_other_formats", others)
        return dict(record.extras.get("coco", {}))

    def _category(self, feature_id: UUID) -> int:
        return self._categories.setdefault(feature_id, len(self._categories) + 1)

    def _keypoint_values(self, category_id: int, points: Sequence[Keypoint]) -> list[float]:
        names = self._keypoints.setdefault(category_id, [])
        names += [point.name for point in points if point.name not in names]
        values = [0.0] * (3 * len(names))
        for point in points:
            place = 3 * names.index(point.name)
            values[place : place + 3] = [point.x, point.y, point.visibility]
        return values

    def _padded(self, line: bytes) -> bytes:
        """With a place for every name that its category got later."""
        if not self._keypoints or b'"keypoints"' not in line:
            return line
        annotation = orjson.loads(line)
        missing = 3 * len(self._keypoints.get(annotation["category_id"], ())) - len(annotation.get("keypoints", ()))
        if missing > 0 and "keypoints" in annotation:
            annotation["keypoints"] += [0.0] * missing
        return orjson.dumps(annotation)

    def _listed(self) -> list[dict[str, Any]]:
        listed = []
        for feature_id, number in self._categories.items():
            category: dict[str, Any] = {"id": number, "name": self._vocabulary.name(feature_id), "supercategory": ""}
            if number in self._keypoints:
                category |= {"keypoints": self._keypoints[number], "skeleton": []}
            listed.append(category)
        return listed


class CocoReader:
    def __init__(self, importing: Importing) -> None:
        self._importing = importing

    def pieces(self) -> Iterator[Piece | Refusal]:
        with CocoDocument(self._importing.file) as document:
            yield from document.images()
            for place, raw in document.annotations():
                try:
                    yield _piece(document, place, raw)
                except Refused as refused:
                    yield Refusal(place, refused, _sender_id(raw))

    def records(self, piece: Piece, row: RowFacts) -> Iterable[LabelRecord | Refusal]:
        if piece.raw is None:
            return []
        raw, category = piece.raw
        try:
            return [self._record(raw, category, row)]
        except ValidationError as error:
            raise refused_by(error) from error

    def _record(self, raw: Mapping[str, Any], category: Category, row: RowFacts) -> LabelRecord:
        about = self._importing
        target = target_named(about, category.name, "/category_id")
        is_prediction = about.what == "pre_labels"
        annotation = coco.read(coco.Reading(raw, target.type, is_prediction, category.keypoints, row, about.losses))
        sent = raw.get("attributes")
        attributes = ReadAttributes(others=dict(sent) if isinstance(sent, dict) else {})
        if target.feature_id is not None:
            attributes = read_attributes(about.vocabulary, target.feature_id, attributes.others)
        extras = {name: value for name, value in raw.items() if name not in _OURS and (name, value) != ("iscrowd", 0)}
        if attributes.others:
            extras["attributes"] = attributes.others
        return LabelRecord(
            annotation=annotation,
            feature_schema_id=target.feature_id,
            id=_sender_id(raw),
            answers=tuple(attributes.answers),
            confidence=confidence(raw.get("score"), "/score"),
            model_class=target.model_class,
            extras={"coco": extras} if extras else {},
        )


def _piece(document: CocoDocument, place: str, raw: Any) -> Piece:
    if not isinstance(raw, dict):
        raise Refused("not_an_object", "this should be an object")
    row = document.image(raw.get("image_id"))
    return Piece(place, row, (raw, document.category(raw.get("category_id"))), _sender_id(raw))


def _sender_id(raw: Any) -> str | None:
    found = (raw.get("prelabel_id") or raw.get("id")) if isinstance(raw, dict) else None
    return None if found is None else str(found)[:200]


def _image_id(row: RowFacts) -> int:
    # Positive, and within what NumPy and databases take for a whole number.
    return int.from_bytes(blake2b(row.id.bytes, digest_size=8).digest()) >> 1


def _image(row: RowFacts, image_id: int) -> dict[str, Any]:
    image: dict[str, Any] = {"id": image_id, "file_name": row.global_key, "width": row.width, "height": row.height}
    return image if row.uri is None else {**image, "coco_url": row.uri}


FORMAT = ExchangeFormat(
    name="coco",
    title="COCO",
    media_type="application/json",
    suffix="json",
    projects=frozenset({"image"}),
    holds={
        "bounding_box": (),
        "polygon": ("holes_rasterised", "holes_filled", "outline_of_pixels"),
        "point": (),
        "keypoints": (),
        "mask": ("mask_drawn_from_polygon",),
        "answers": (),
        "confidence": (),
        "extras": ("of_other_formats",),
        "ids": (),
        "empty_rows": ("no_images_in_results",),
    },
    losses={
        **coco.LOSSES,
        "of_other_formats": "what other formats than COCO know about a label has no place in COCO",
        "no_images_in_results": "results have no list of images, so one without a label is not named",
    },
    write=CocoWriter,
    read=CocoReader,
    takes=("application/json",),
    export_options=CocoExport,
)
