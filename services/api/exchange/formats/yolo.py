"""YOLO as a zip: `data.yaml`, `labels/train/<picture>.txt`, and `images.csv`: which picture is which data row.

A line is a class and places in shares of the picture: centre, width and height (`layout=detection`), or the corners of
a polygon (`layout=segmentation`). Pre-labels of detection have their confidence as the last number. Pictures are not in
it.
"""

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Literal
from uuid import UUID

import yaml
from pydantic import Field, ValidationError

from services.api.exchange.formats.base import (
    ExchangeFormat,
    Exporting,
    Importing,
    Options,
    Piece,
    Refusal,
    Refused,
    RowReference,
    UnusableUpload,
)
from services.api.exchange.formats.zip_files import ReadZip, StreamedZip
from services.api.exchange.geometry import yolo
from services.api.exchange.numbers import whole_number
from services.api.exchange.refusals import refused_by
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts
from services.api.exchange.targets import target_named

_INDEX = "images.csv"
_SPLIT = "train"
_MOST_NAME_BYTES = 180


class YoloExport(Options):
    layout: Literal["detection", "segmentation"] = Field(
        default="detection", description="boxes, or the corners of polygons"
    )


class YoloWriter:
    def __init__(self, exporting: Exporting) -> None:
        self._about = exporting
        self._zip = StreamedZip()
        self._places: dict[UUID, int] = {}
        self._index: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        for feature in exporting.vocabulary.top:
            if feature.node == "tool" and feature.id is not None:
                self._places[feature.id] = len(self._places)

    def begin(self) -> Iterable[bytes]:
        return ()

    def rows(self, rows: Sequence[LabelledRow]) -> Iterable[bytes]:
        for row in rows:
            name = self._file_name(row.row)
            lines = [line for record in row.labels for line in self._lines(record, row.row)]
            yield from self._zip.add(f"labels/{_SPLIT}/{name}.txt", "".join(f"{line}\n" for line in lines).encode())
            self._index.write(_csv_line([f"{name}.txt", row.row.global_key, row.row.uri or ""]))

    def end(self) -> Iterable[bytes]:
        names = {place: self._about.vocabulary.name(feature_id) for feature_id, place in self._places.items()}
        about = {"path": ".", "train": f"images/{_SPLIT}", "val": f"images/{_SPLIT}", "names": names}
        written = yaml.safe_dump(about, allow_unicode=True, sort_keys=False)
        yield from self._zip.add("data.yaml", written.encode())
        yield from self._zip.add_file(_INDEX, self._index)
        yield from self._zip.end()

    def close(self) -> None:
        self._zip.close()
        self._index.close()

    def _file_name(self, row: RowFacts) -> str:
        """The picture's without its ending; with a mark where that is no name of a file, or another picture has it."""
        stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", row.global_key)
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", stem).strip(".")[:_MOST_NAME_BYTES]
        if safe and safe == stem and self._zip.takes(safe.lower()):
            return safe
        return f"{safe}-{row.id.hex}"

    def _lines(self, record: LabelRecord, row: RowFacts) -> Iterator[str]:
        assert record.feature_schema_id is not None  # what leaves has a feature
        place = self._places.setdefault(record.feature_schema_id, len(self._places))
        if not row.width or not row.height:
            self._about.losses.count(record.annotation.kind, "without_a_size")
            return
        size = (row.width, row.height)
        if self._about.options.layout == "segmentation":
            for ring in yolo.rings(record.annotation, self._about.losses):
                yield yolo.line(place, yolo.shares(ring, size))
            if record.confidence is not None:
                self._about.losses.count("confidence", "no_confidence_of_polygons")
            return
        box = yolo.box(record.annotation, self._about.losses)
        if box is not None:
            sure = [] if record.confidence is None else [record.confidence]
            yield yolo.line(place, [*yolo.centred(box, size), *sure])


class YoloReader:
    def __init__(self, importing: Importing) -> None:
        self._importing = importing

    def pieces(self) -> Iterator[Piece | Refusal]:
        with ReadZip(self._importing.file) as archive:
            names = _class_names(archive)
            keys = {line[0]: line[1] for line in _index(archive)}
            for path in archive.names():
                folder, _, name = path.rpartition("/")
                if not name.endswith(".txt") or "labels" not in folder.split("/"):
                    continue
                key = keys.get(name) or name.removesuffix(".txt")
                try:
                    yield Piece(path, RowReference(global_key=key), (archive.text(path), names))
                except Refused as refused:
                    yield Refusal(path, refused)

    def records(self, piece: Piece, row: RowFacts) -> Iterable[LabelRecord | Refusal]:
        text, names = piece.raw
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    yield self._record(line.split(), names, row)
                except Refused as refused:
                    yield Refusal(f"{piece.place}:{number}", refused)
                except ValidationError as error:
                    yield Refusal(f"{piece.place}:{number}", refused_by(error))

    def _record(self, words: Sequence[str], names: Mapping[int, str], row: RowFacts) -> LabelRecord:
        place = whole_number(words[0], "")
        if place not in names:
            raise Refused("unknown_class", f"data.yaml has no class {place}")
        if not row.width or not row.height:
            raise Refused("size_unknown", "shares become pixels only when the picture's size is known")
        target = target_named(self._importing, names[place])
        annotation, sure = yolo.read(words[1:], (row.width, row.height), target.type)
        return LabelRecord(
            annotation=annotation,
            feature_schema_id=target.feature_id,
            confidence=sure,
            model_class=target.model_class,
        )


def _class_names(archive: ReadZip) -> dict[int, str]:
    path = next((path for path in archive.names() if path.rpartition("/")[2] in {"data.yaml", "data.yml"}), None)
    if path is None:
        raise UnusableUpload("class_names_missing", "the zip has no data.yaml with the names of the classes")
    try:
        loaded = yaml.safe_load(archive.text(path))
        names = loaded["names"] if isinstance(loaded, dict) else None
        pairs = enumerate(names) if isinstance(names, list) else dict(names or {}).items()
        return {int(place): str(name) for place, name in pairs}
    except (yaml.YAMLError, Refused, KeyError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise UnusableUpload("invalid_class_names", f"data.yaml has no names of classes: {error}"[:300]) from error


def _index(archive: ReadZip) -> Iterator[list[str]]:
    """Which picture is which data row, as our own exports say; others' pictures are named by their global key."""
    path = next((path for path in archive.names() if path.rpartition("/")[2] == _INDEX), None)
    if path is not None:
        yield from (line for line in csv.reader(io.StringIO(archive.text(path))) if len(line) > 1)


def _csv_line(words: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(words)
    return line.getvalue().encode()


FORMAT = ExchangeFormat(
    name="yolo",
    title="YOLO",
    media_type="application/zip",
    suffix="zip",
    projects=frozenset({"image"}),
    holds={
        "bounding_box": ("without_a_size", "turned_upright", "box_as_polygon"),
        "polygon": ("without_a_size", "only_bounds", "parts_apart", "holes_filled"),
        "mask": ("without_a_size", "only_bounds", "outline_of_pixels", "parts_apart", "holes_filled"),
        "confidence": ("no_confidence_of_polygons",),
        "empty_rows": (),
    },
    losses={
        **yolo.LOSSES,
        "no_confidence_of_polygons": "a line with the corners of a polygon has no place for a confidence",
    },
    write=YoloWriter,
    read=YoloReader,
    takes=("application/zip",),
    export_options=YoloExport,
)
