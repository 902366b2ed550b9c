"""Label Studio's JSON: an array of tasks, labels as `annotations`, pre-labels as `predictions` with scores.

`data.global_key` names the data row; a picture's `data.image` is its address. Positions are in percent of the picture,
so a data row whose picture nobody has read yet has none. `label_studio_config` has the controls' names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import ijson
import orjson
from pydantic import Field

from services.api.exchange.attributes import attributes_of, paths, value_of
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
from services.api.exchange.formats.label_studio_task import ReadTask
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts
from services.api.pointers import escape
from shared.annotations import CLASSIFICATION_TYPES, FeatureType, FreeText, Polygon
from shared.label_studio.regions import Frame, NoRegion, written

_NAME = "label_studio"


class LabelStudioImport(Options):
    key_field: str = Field(
        default="global_key", min_length=1, max_length=200, description="the field of a task's data that names its row"
    )


class LabelStudioWriter:
    def __init__(self, exporting: Exporting) -> None:
        self._about = exporting
        self._tasks = 0

    def begin(self) -> Iterable[bytes]:
        yield b"["

    def rows(self, rows: Sequence[LabelledRow]) -> Iterable[bytes]:
        for row in rows:
            yield b"," * bool(self._tasks) + b"\n" + orjson.dumps(self._task(row))
            self._tasks += 1

    def end(self) -> Iterable[bytes]:
        yield b"\n]\n"

    def close(self) -> None:
        return

    def _task(self, row: LabelledRow) -> dict[str, Any]:
        content = row.row.text if self._about.media_type == "text" else row.row.uri
        data = {"global_key": row.row.global_key, self._about.media_type: content}
        result = [region for record in row.labels for region in self._regions(record, row.row)]
        if self._about.what == "labels":
            return {"data": data, "annotations": [{"result": result}] if row.labels else []}
        if not row.labels:
            return {"data": data, "predictions": []}
        sure = [record.confidence for record in row.labels if record.confidence is not None]
        prediction = {"model_version": self._model_version(row), "score": min(sure, default=None), "result": result}
        return {"data": data, "predictions": [prediction]}

    def _model_version(self, row: LabelledRow) -> str:
        model = row.labels[0].provenance.get("model") or {}
        known = [
            str(model[name]) for name in ("slug", "name", "version") if isinstance(model, dict) and model.get(name)
        ]
        return " ".join(known) or "prelabel"

    def _regions(self, record: LabelRecord, row: RowFacts) -> Iterator[dict[str, Any]]:
        feature_id = record.feature_schema_id
        assert feature_id is not None  # what leaves has a feature
        feature = self._about.vocabulary.by_id[feature_id]
        common = self._common(record, row)
        if feature.type in CLASSIFICATION_TYPES:
            yield {**common, "from_name": escape(feature.name), **self._answer(record.annotation)}
            for option in record.annotation.option_ids():
                before = f"{escape(feature.name)}/{escape(self._about.vocabulary.name(option))}"
                yield from self._answers(record, option, before, {**common, "id": None})
            return
        if isinstance(record.annotation, Polygon):
            self._count_polygon(record.annotation)
        try:
            shapes = written(record.annotation, _frame(row))
        except NoRegion:
            self._about.losses.count(record.annotation.kind, "without_a_size")
            return
        for place, (kind, value) in enumerate(shapes):
            name = {"id": f"{common['id']}.{place}" if place else common["id"], "from_name": str(feature.type)}
            yield {**common, **name, "type": kind, "value": {**value, kind: [feature.name]}}
        geometry = shapes[0][1]
        for one in self._answers(record, feature_id, escape(feature.name), common):
            yield {**one, "value": {**geometry, **one["value"]}}

    def _answers(
        self, record: LabelRecord, parent_id: UUID, before: str, common: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        vocabulary = self._about.vocabulary
        for path, words in attributes_of(vocabulary, record.answers, parent_id).items():
            is_text = isinstance(words, str) and self._is_text(parent_id, path)
            yield {**common, "from_name": f"{before}/{path}", **_answer_of(words, is_text=is_text)}

    def _is_text(self, parent_id: UUID, path: str) -> bool:
        found = dict(paths(self._about.vocabulary, parent_id)).get(path)
        return found is not None and found.type is FeatureType.FREE_TEXT

    def _answer(self, annotation: Any) -> dict[str, Any]:
        return _answer_of(value_of(self._about.vocabulary, annotation), is_text=isinstance(annotation, FreeText))

    def _common(self, record: LabelRecord, row: RowFacts) -> dict[str, Any]:
        found: dict[str, Any] = {"id": record.id, "to_name": self._about.media_type}
        if self._about.media_type == "image":
            found |= {"original_width": row.width, "original_height": row.height, "image_rotation": 0}
        if record.confidence is not None:
            found["score"] = record.confidence
        return found

    def _count_polygon(self, polygon: Polygon) -> None:
        if len(polygon.parts) > 1:
            self._about.losses.count("polygon", "parts_apart")
        if any(part.holes for part in polygon.parts):
            self._about.losses.count("polygon", "holes_filled")


def _answer_of(words: Any, *, is_text: bool) -> dict[str, Any]:
    if is_text:
        return {"type": "textarea", "value": {"text": [words]}}
    return {"type": "choices", "value": {"choices": [words] if isinstance(words, str) else list(words)}}


def _frame(row: RowFacts) -> Frame:
    return Frame(row.width, row.height, row.text)


class LabelStudioReader:
    def __init__(self, importing: Importing) -> None:
        self._importing = importing

    def pieces(self) -> Iterator[Piece | Refusal]:
        for index, task in self._tasks():
            place = f"/{index}"
            try:
                yield Piece(place, self._row(task), task, _id_of(task))
            except Refused as refused:
                yield Refusal(place, refused, _id_of(task))

    def records(self, piece: Piece, row: RowFacts) -> Iterable[LabelRecord | Refusal]:
        said = "annotations" if self._importing.what == "labels" else "predictions"
        sent = piece.raw.get(said) or []
        if not isinstance(sent, list) or not all(isinstance(one, dict) for one in sent):
            raise Refused("not_a_list", "this should be an array of objects", f"/{said}")
        usable = [(index, one) for index, one in enumerate(sent) if not one.get("was_cancelled")]
        if not usable:
            return
        # Several people, or several models: what only one of them can be is the newest.
        if len(usable) > 1:
            self._importing.losses.count("ids", "others_of_the_task", len(usable) - 1)
        index, newest = usable[-1]
        yield from ReadTask(self._importing, row, f"/{said}/{index}", piece.place).records(newest)

    def _tasks(self) -> Iterator[tuple[int, Any]]:
        self._importing.file.seek(0)
        try:
            yield from enumerate(ijson.items(self._importing.file, "item", use_float=True))
        except ijson.JSONError as error:
            detail = f"the document is no JSON array of tasks: {str(error).splitlines()[0]}"
            raise UnusableUpload("malformed_json", detail[:300]) from None
        except UnicodeDecodeError:
            raise UnusableUpload("malformed_json", "the document is not UTF-8") from None

    def _row(self, task: Any) -> RowReference:
        field = self._importing.options.key_field
        data = task.get("data") if isinstance(task, dict) else None
        key = data.get(field) if isinstance(data, dict) else None
        if not isinstance(key, str) or not 0 < len(key) <= 500:  # noqa: PLR2004
            detail = f"the task's data has no {field!r} that names a data row; say by key_field which field does"
            raise Refused("data_row_missing", detail, f"/data/{escape(field)}")
        return RowReference(global_key=key)


def _id_of(task: Any) -> str | None:
    found = task.get("id") if isinstance(task, dict) else None
    return None if found is None else str(found)[:200]


FORMAT = ExchangeFormat(
    name=_NAME,
    title="Label Studio JSON",
    media_type="application/json",
    suffix="json",
    projects=frozenset({"image", "text"}),
    holds={
        "bounding_box": ("without_a_size",),
        "polygon": ("without_a_size", "holes_filled", "parts_apart"),
        "polyline": ("without_a_size",),
        "point": ("without_a_size",),
        "mask": ("without_a_size",),
        "text_entity": (),
        "radio": (),
        "checklist": (),
        "free_text": (),
        "answers": (),
        "confidence": (),
        "ids": ("others_of_the_task",),
        "empty_rows": (),
    },
    losses={
        "without_a_size": "positions are in percent of the picture, and its size (or that of the mask) is not known",
        "holes_filled": "polygons have no holes",
        "parts_apart": "a polygon of several parts became several regions",
        "others_of_the_task": "a task had several annotations or predictions: only the last one was taken",
    },
    write=LabelStudioWriter,
    read=LabelStudioReader,
    takes=("application/json",),
    import_options=LabelStudioImport,
)
