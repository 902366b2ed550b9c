"""Prelabel's own NDJSON: complete. What it says of a data row can be read back into another project.

    {"type":"header","format":"prelabel","version":1,"what":"labels","project":{…},"ontology":{…}}
    {"type":"data_row","data_row":{…},"review":{…},"labels":[{…}],"decisions":[{…}]}   any number
    {"type":"end","data_rows":2,"labels":5}

Features and options are named by id; the header's ontology says what they are called, so that another project, in
which the same names have other ids, can take them. A file without its `end` was cut off.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.api.exchange.formats.base import (
    ExchangeFormat,
    Exporting,
    Importing,
    Piece,
    Refusal,
    Refused,
    RowReference,
    UnusableUpload,
)
from services.api.exchange.formats.json_lines import json_lines
from services.api.exchange.histories import LOSSES, History, provenance_with_ids
from services.api.exchange.losses import EVERYTHING
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts
from services.api.exchange.vocabulary import Vocabulary
from services.api.pointers import field_errors
from shared.annotations import Annotation
from shared.answers import Answer
from shared.ontology import Ontology, features

VERSION = 1
_LABELS_A_LINE = 200
_ROW_FIELDS = ("global_key", "uri", "text", "mime_type", "width", "height", "length", "metadata")


class PrelabelWriter:
    def __init__(self, exporting: Exporting) -> None:
        self._exporting = exporting
        self._rows = self._labels = 0

    def begin(self) -> Iterable[bytes]:
        about = self._exporting
        yield _line(
            {
                "type": "header",
                "format": "prelabel",
                "version": VERSION,
                "what": about.what,
                "project": {"id": str(about.project_id), "name": about.project_name, "media_type": about.media_type},
                "ontology": about.vocabulary.ontology.model_dump(mode="json", exclude_none=True),
                "removed_features": [
                    {"id": str(one.id), "name": one.name, "parent_id": one.parent_id and str(one.parent_id)}
                    for one in about.vocabulary.removed
                ],
            }
        )

    def rows(self, rows: Sequence[LabelledRow]) -> Iterable[bytes]:
        for row in rows:
            self._rows += 1
            self._labels += len(row.labels)
            # A line stays short enough to be read whole; the first has what there is once.
            for start in range(0, max(len(row.labels), 1), _LABELS_A_LINE):
                yield _line(_row_line(row, row.labels[start : start + _LABELS_A_LINE], is_first=start == 0))

    def end(self) -> Iterable[bytes]:
        yield _line({"type": "end", "data_rows": self._rows, "labels": self._labels})

    def close(self) -> None:
        return


def _line(content: Mapping[str, Any]) -> bytes:
    # asyncpg has a UUID of its own, which orjson does not know.
    return orjson.dumps(content, default=str, option=orjson.OPT_APPEND_NEWLINE)


def _row_line(row: LabelledRow, labels: Sequence[LabelRecord], *, is_first: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"id": str(row.row.id)}
    for name in _ROW_FIELDS if is_first else ("global_key",):
        value = getattr(row.row, name)
        if value is not None:
            facts[name] = value
    line = {"type": "data_row", "data_row": facts, "labels": [_label(one) for one in labels]}
    if is_first:
        line |= {"review": row.review, "decisions": list(row.decisions)}
    return line


def _label(record: LabelRecord) -> dict[str, Any]:
    label: dict[str, Any] = {
        "id": record.id,
        "feature_schema_id": str(record.feature_schema_id),
        "annotation": record.annotation.model_dump(mode="json", exclude_none=True),
        "classifications": [answer.model_dump(mode="json", exclude_none=True) for answer in record.answers],
    }
    if record.confidence is not None:
        label["confidence"] = record.confidence
    if record.model_class is not None:
        label["model_class"] = record.model_class
    if record.provenance:
        label["provenance"] = record.provenance
    if record.extras:
        label["extras"] = record.extras
    return label


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _SentLabel(_Sent):
    """A label of a line: its feature by id, or by name where somebody wrote it by hand. Unknown fields are of a later
    version and left alone."""

    id: str | None = Field(default=None, max_length=500)
    feature_schema_id: UUID | None = None
    feature: str | None = Field(default=None, min_length=1, max_length=200)
    annotation: Annotation
    classifications: tuple[Answer, ...] = ()
    confidence: float | None = Field(default=None, ge=0, le=1)
    model_class: str | None = Field(default=None, min_length=1, max_length=500)
    provenance: dict[str, Any] = {}
    extras: dict[str, dict[str, Any]] = {}


class _SentDataRow(_Sent):
    id: UUID | None = None
    global_key: str | None = Field(default=None, min_length=1, max_length=500)


class PrelabelReader:
    """The header may be left out: ids are then those of the project."""

    def __init__(self, importing: Importing) -> None:
        self._importing = importing
        self._ids: dict[UUID, UUID] = {
            one: one for one in importing.vocabulary.by_id if importing.vocabulary.present(one)
        }

    def pieces(self) -> Iterator[Piece | Refusal]:
        with_header = ended = False
        last = 0
        for line in json_lines(self._importing.file):
            if isinstance(line, Refusal):
                yield line
                continue
            last, item = line
            match item.get("type", "data_row"):
                case "header":
                    with_header = True
                    self._learn(item)
                case "end":
                    ended = True
                case "data_row":
                    yield _piece(last, item)
                case other:
                    yield Refusal(
                        last, Refused("unknown_line", f"there is no line of type {str(other)[:100]!r}", "/type")
                    )
        if with_header and not ended:
            yield Refusal(
                last + 1, Refused("cut_off", "the file has no last line of type end, so some of it is missing")
            )

    def records(self, piece: Piece, row: RowFacts) -> Iterable[LabelRecord | History | Refusal]:
        del row
        if self._importing.what == "labels":
            yield from self._history(piece)
        sent = piece.raw.get("labels", [])
        if not isinstance(sent, list):
            raise Refused("not_a_list", "this should be an array", "/labels")
        for index, one in enumerate(sent):
            pointer = f"/labels/{index}"
            try:
                yield self._record(_SentLabel.model_validate(one), pointer)
            except ValidationError as error:
                first = field_errors(error.errors(include_url=False, include_input=False, include_context=False), one)[
                    0
                ]
                yield Refusal(piece.place, Refused(first.code, first.detail, pointer + first.pointer), _id_of(one))
            except Refused as refused:
                yield Refusal(piece.place, refused, _id_of(one))

    def _history(self, piece: Piece) -> Iterator[History | Refusal]:
        """All of it, or why none of it is taken; the labels are taken without it."""
        try:
            sent = {name: value for name in ("review", "decisions") if (value := piece.raw.get(name))}
            history = History.model_validate(sent)
            if history.says_something:
                yield history.with_ids(self._ids)
        except ValidationError as error:
            first = field_errors(error.errors(include_url=False, include_input=False, include_context=False), {})[0]
            yield Refusal(piece.place, Refused("invalid_history", f"{first.pointer}: {first.detail}", "/decisions"))
        except (KeyError, ValueError) as error:
            detail = f"the ontology has no feature or option {error.args[0]}, which its decisions name"
            yield Refusal(piece.place, Refused("unknown_feature", detail, "/decisions"))

    def _learn(self, header: Mapping[str, Any]) -> None:
        if header.get("version") != VERSION:
            raise UnusableUpload("unknown_version", f"this reads version {VERSION} of the format")
        try:
            theirs = Vocabulary(Ontology.model_validate(header.get("ontology", {})))
        except ValidationError as error:
            raise UnusableUpload("invalid_ontology", "the header's ontology cannot be read") from error
        for feature in features(theirs.ontology):
            if feature.id is None or feature.id in self._ids:
                continue
            parent = None if feature.parent_id is None else self._ids.get(feature.parent_id)
            if feature.parent_id is None or parent is not None:
                ours = self._importing.vocabulary.named(feature.name, parent)
                if ours is not None and ours.id is not None and (ours.node, ours.type) == (feature.node, feature.type):
                    self._ids[feature.id] = ours.id

    def _record(self, sent: _SentLabel, pointer: str) -> LabelRecord:
        feature_id = self._feature(sent, pointer)
        try:
            annotation = sent.annotation.with_options(self._ids)
            answers = tuple(
                Answer(
                    feature_schema_id=self._ids[answer.feature_schema_id],
                    annotation=answer.annotation.with_options(self._ids),
                )
                for answer in sent.classifications
            )
        except KeyError as error:
            raise Refused(
                "unknown_feature", f"the ontology has no feature or option {error.args[0]}", pointer
            ) from error
        return LabelRecord(
            annotation=annotation,
            feature_schema_id=feature_id,
            id=sent.id,
            answers=answers,
            confidence=sent.confidence,
            model_class=sent.model_class,
            provenance=provenance_with_ids(sent.provenance, self._ids) if sent.provenance else {},
            extras=sent.extras,
        )

    def _feature(self, sent: _SentLabel, pointer: str) -> UUID:
        if sent.feature_schema_id is not None:
            found = self._ids.get(sent.feature_schema_id)
        else:
            feature = self._importing.vocabulary.named(sent.feature or "")
            found = feature.id if feature else None
        if found is None:
            name = sent.feature or sent.feature_schema_id
            raise Refused("unknown_feature", f"the ontology has no feature {str(name)[:200]!r}", f"{pointer}/feature")
        return found


def _piece(number: int, item: Mapping[str, Any]) -> Piece | Refusal:
    try:
        row = _SentDataRow.model_validate(item.get("data_row"))
    except ValidationError:
        row = _SentDataRow()
    if row.id is None and row.global_key is None:
        return Refusal(number, Refused("data_row_missing", "name the data row by id or global_key", "/data_row"))
    # Its key, since another project has other ids.
    reference = RowReference(global_key=row.global_key) if row.global_key else RowReference(id=row.id)
    return Piece(number, reference, item)


def _id_of(sent: Any) -> str | None:
    found = sent.get("id") if isinstance(sent, dict) else None
    return found if isinstance(found, str) else None


FORMAT = ExchangeFormat(
    name="prelabel",
    title="Prelabel NDJSON",
    media_type="application/x-ndjson",
    suffix="ndjson",
    projects=frozenset({"image", "text"}),
    holds={**EVERYTHING, "decisions": tuple(LOSSES)},
    losses=LOSSES,
    write=PrelabelWriter,
    read=PrelabelReader,
    takes=("application/x-ndjson", "application/jsonl"),
)
