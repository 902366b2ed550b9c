"""Labelbox's NDJSON: an annotation a line, features by name, pixels.

    {"uuid":"…","dataRow":{"globalKey":"img-7"},"name":"car","bbox":{"top":10,"left":20,"height":30,"width":40}}

A text entity's `end` is the last character that belongs to it. A mask is a PNG of 0 and 1 in the line itself; one that
lies elsewhere (`instanceURI`) is refused, not fetched. Answers under a tool stand in `classifications`, those under an
option in the option. What a line has besides is kept in `extras.labelbox` and written again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from services.api.exchange.formats.base import (
    ExchangeFormat,
    Exporting,
    Importing,
    Piece,
    Refusal,
    Refused,
    RowReference,
)
from services.api.exchange.formats.json_lines import json_lines
from services.api.exchange.formats.labelbox_answers import ReadAnswers, WriteAnswers, answer_of
from services.api.exchange.formats.labelbox_values import LOSSES, VALUES, read_value
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts
from shared.annotations import CLASSIFICATION_TYPES
from shared.ontology import FeatureSchema

_NAME = "labelbox"
_CONFIDENCES = "confidences"
_OF_KIND = {value.kind: value for value in VALUES}
_OF_KEY = {value.key: value for value in VALUES}
_KNOWN = frozenset(
    {"uuid", "dataRow", "name", "schemaId", "confidence", "classifications", "answer", "answers", *_OF_KEY}
)
_ELSEWHERE: Mapping[str, str] = {
    "relationship": "relations between annotations",
    "frames": "annotations of video frames",
    "segments": "annotations of video frames",
    "textSelections": "entities of documents",
    "metricName": "metrics",
    "messageId": "messages of conversations",
}


class LabelboxWriter:
    def __init__(self, exporting: Exporting) -> None:
        self._exporting = exporting

    def begin(self) -> Iterable[bytes]:
        return ()

    def rows(self, rows: Sequence[LabelledRow]) -> Iterable[bytes]:
        for row in rows:
            key = {"globalKey": row.row.global_key}
            lines = (line for record in row.labels for line in self._lines(record))
            content = [orjson.dumps({**line, "dataRow": key}, option=orjson.OPT_APPEND_NEWLINE) for line in lines]
            if content:
                yield b"".join(content)

    def end(self) -> Iterable[bytes]:
        return ()

    def close(self) -> None:
        return

    def _lines(self, record: LabelRecord) -> Iterator[dict[str, Any]]:
        feature = self._exporting.vocabulary.by_id[_feature_id(record)]
        known = dict(record.extras.get(_NAME, {}))
        writing = WriteAnswers(self._exporting.vocabulary, known.pop(_CONFIDENCES, {}))
        line = {"uuid": _uuid(record.id, 0), "name": feature.name, **known}
        if feature.type in CLASSIFICATION_TYPES:
            answer = writing.value(feature, record.annotation, record.answers)
            yield {**line, "answer": answer, **_confidence(record)}
            return
        below = writing.below(record.answers, _feature_id(record))
        if below:
            line["classifications"] = below
        value = _OF_KIND[record.annotation.kind]
        for place, sent in enumerate(value.write(record.annotation, self._exporting.losses)):
            yield {**line, "uuid": _uuid(record.id, place), value.key: sent, **_confidence(record)}


class LabelboxReader:
    def __init__(self, importing: Importing) -> None:
        self._importing = importing
        self._named: dict[str, FeatureSchema] = {}

    def pieces(self) -> Iterator[Piece | Refusal]:
        for line in json_lines(self._importing.file):
            if isinstance(line, Refusal):
                yield line
                continue
            number, item = line
            sent, uuid = item.get("dataRow"), item.get("uuid")
            own = uuid[:500] if isinstance(uuid, str) else None
            try:
                yield Piece(number, _reference(sent), item, own)
            except Refused as refused:
                yield Refusal(number, refused, own)

    def records(self, piece: Piece, row: RowFacts) -> Iterable[LabelRecord | Refusal]:
        del row
        item: Mapping[str, Any] = piece.raw
        found = ReadAnswers(self._importing.vocabulary)
        feature, model_class = self._feature(item)
        if "answer" in item or "answers" in item:
            if feature is None or feature.type not in CLASSIFICATION_TYPES:
                raise Refused("unknown_feature", f"the ontology has no classification {model_class[:200]!r}", "/name")
            annotation = found.take(feature, answer_of(item, ""), "/answer")
        else:
            key = _key(item)
            annotation = read_value(_OF_KEY[key], item[key])
            if item.get("classifications") and feature is not None and feature.id is not None:
                found.take_below(feature.id, item["classifications"], "/classifications")
        extras = {name: item[name] for name in item.keys() - _KNOWN}
        if found.confidences:
            extras[_CONFIDENCES] = found.confidences
        yield LabelRecord(
            annotation=annotation,
            feature_schema_id=feature.id if feature else None,
            id=piece.id,
            answers=tuple(found.flat),
            confidence=_read_confidence(item, found),
            model_class=model_class,
            extras={_NAME: extras} if extras else {},
        )

    def _feature(self, item: Mapping[str, Any]) -> tuple[FeatureSchema | None, str]:
        """The feature, and what the sender calls it. Raises Refused for a label of none."""
        name, schema_id = item.get("name"), item.get("schemaId")
        found = self._called(name) if isinstance(name, str) else None
        if found is None and isinstance(schema_id, str):
            found = self._importing.vocabulary.with_id(schema_id, None)
        called = name if isinstance(name, str) and name else (found.name if found else None)
        if called is None:
            raise Refused("feature_missing", "say by `name` (or `schemaId`) what this is", "/name")
        if found is None and self._importing.what == "labels":
            raise Refused("unknown_feature", f"the ontology has no feature {called[:200]!r}", "/name")
        return found, called

    def _called(self, name: str) -> FeatureSchema | None:
        found = self._named.get(name) or self._importing.vocabulary.named(name)
        if found is not None:
            self._named[name] = found
        return found


def _reference(sent: Any) -> RowReference:
    key, row_id = (sent.get("globalKey"), sent.get("id")) if isinstance(sent, dict) else (None, None)
    if isinstance(key, str) and key and row_id is None:
        return RowReference(global_key=key)
    if isinstance(row_id, str) and key is None:
        try:
            return RowReference(id=UUID(row_id))
        except ValueError as error:
            raise Refused("unknown_data_row", "the project has no data row of this id", "/dataRow/id") from error
    raise Refused("data_row_missing", "`dataRow` has exactly one of id and globalKey", "/dataRow")


def _key(item: Mapping[str, Any]) -> str:
    for key in item:
        if key in _OF_KEY:
            return key
    raise _no_value(item)


def _no_value(item: Mapping[str, Any]) -> Refused:
    for key, what in _ELSEWHERE.items():
        if key in item:
            return Refused("not_supported", f"{what} are not taken", f"/{key}")
    return Refused("value_missing", f"one of {', '.join(_OF_KEY)} or answer is needed")


def _read_confidence(item: Mapping[str, Any], found: ReadAnswers) -> float | None:
    sent = item.get("confidence")
    if sent is None and isinstance(item.get("answer", item.get("answers")), dict | list):
        # The least sure of the options: what they say for themselves is in the extras.
        sent = min(found.confidences.values(), default=None)
    if sent is None:
        return None
    if isinstance(sent, bool) or not isinstance(sent, int | float) or not 0 <= sent <= 1:
        raise Refused("invalid_confidence", "a confidence is a number between 0 and 1", "/confidence")
    return float(sent)


def _confidence(record: LabelRecord) -> dict[str, float]:
    return {} if record.confidence is None else {"confidence": record.confidence}


def _uuid(own: str | None, place: int) -> str:
    """A UUID, as Labelbox wants it: the label's own, or one that follows from its id."""
    try:
        found = UUID(own or "")
    except ValueError:
        found = uuid5(NAMESPACE_URL, own or "")
    return str(found if place == 0 else uuid5(found, str(place)))


def _feature_id(record: LabelRecord) -> UUID:
    assert record.feature_schema_id is not None
    return record.feature_schema_id


FORMAT = ExchangeFormat(
    name=_NAME,
    title="Labelbox NDJSON",
    media_type="application/x-ndjson",
    suffix="ndjson",
    projects=frozenset({"image", "text"}),
    holds={
        "bounding_box": ("rotation_dropped",),
        "polygon": ("holes_filled", "parts_apart"),
        "polyline": (),
        "point": (),
        "mask": (),
        "text_entity": (),
        "radio": (),
        "checklist": (),
        "free_text": (),
        "answers": (),
        "confidence": (),
        "ids": (),
    },
    losses=LOSSES,
    write=LabelboxWriter,
    read=LabelboxReader,
    takes=("application/x-ndjson", "application/jsonl"),
)
