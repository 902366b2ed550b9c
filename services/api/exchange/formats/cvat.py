"""CVAT XML 1.1 for images. An image's `name` is the data row's global key.

Answers are attributes (`services.api.exchange.attributes`); each option of a checklist is a checkbox, as an attribute
has one value. What is said of a whole data row is a tag named like its classification.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from xml.sax.saxutils import escape as text_of
from xml.sax.saxutils import quoteattr

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse
from pydantic import ValidationError

from services.api.exchange.attributes import attributes_of, paths, read_attributes, value_of
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
from services.api.exchange.geometry import cvat
from services.api.exchange.geometry.cvat import Shape
from services.api.exchange.refusals import refused_by
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts
from services.api.exchange.targets import target_named
from services.api.exchange.vocabulary import Vocabulary
from services.api.pointers import escape
from shared.annotations import CLASSIFICATION_TYPES, Classification, FeatureType
from shared.ontology import FeatureSchema

_NAME = "cvat"
_EXTRAS = ("occluded", "z_order", "source", "group_id")
_TYPES = {"bounding_box": "rectangle", "polygon": "polygon", "polyline": "polyline", "point": "points", "mask": "mask"}
_INPUTS = {FeatureType.RADIO: "select", FeatureType.FREE_TEXT: "text"}
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TRUE = "true"


class CvatWriter:
    def __init__(self, exporting: Exporting) -> None:
        self._about = exporting
        self._images = 0

    def begin(self) -> Iterable[bytes]:
        labels = "".join(self._label(feature) for feature in self._about.vocabulary.top)
        name = f"<name>{_text(self._about.project_name)}</name>"
        yield (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
            f"<meta><task>{name}<mode>annotation</mode><labels>{labels}</labels></task></meta>\n"
        ).encode()

    def rows(self, rows: Sequence[LabelledRow]) -> Iterable[bytes]:
        for row in rows:
            about = {"id": self._images, "name": row.row.global_key, "width": row.row.width, "height": row.row.height}
            inside = "".join(element for record in row.labels for element in self._elements(record, row.row))
            yield f"<image{_attributes(about)}>\n{inside}</image>\n".encode()
            self._images += 1

    def end(self) -> Iterable[bytes]:
        yield b"</annotations>\n"

    def close(self) -> None:
        return

    def _label(self, feature: FeatureSchema) -> str:
        kind = "tag" if feature.type in CLASSIFICATION_TYPES else _TYPES.get(str(feature.type), "any")
        written = "".join(_declared(name, *about) for name, about in _inputs(self._about.vocabulary, feature).items())
        name = f"<name>{_text(feature.name)}</name><type>{kind}</type>"
        return f"<label>{name}<attributes>{written}</attributes></label>"

    def _elements(self, record: LabelRecord, row: RowFacts) -> Iterator[str]:
        feature_id = record.feature_schema_id
        assert feature_id is not None  # what leaves has a feature
        vocabulary = self._about.vocabulary
        feature = vocabulary.by_id[feature_id]
        common = {"label": feature.name, "source": "manual", "occluded": "0", "z_order": "0", **self._extras(record)}
        if feature.type in CLASSIFICATION_TYPES:
            answers: dict[str, Any] = {escape(feature.name): value_of(vocabulary, record.annotation)}
            for option in record.annotation.option_ids():
                before = f"{escape(feature.name)}/{escape(vocabulary.name(option))}/"
                below = attributes_of(vocabulary, record.answers, option)
                answers |= {before + name: value for name, value in below.items()}
            yield _element(Shape("tag", {"label": feature.name, "source": "manual"}), self._inside(answers))
            return
        inside = self._inside(attributes_of(vocabulary, record.answers, feature_id))
        for shape in cvat.written(record.annotation, row, self._about.losses):
            yield _element(Shape(shape.tag, {**common, **shape.attributes}, shape.parts), inside)

    def _inside(self, answers: Mapping[str, Any]) -> str:
        found = []
        for name, value in _single(answers):
            if _NO_XML.search(name + value):
                self._about.losses.count("answers", "unprintable_dropped")
            found.append(f"<attribute{_attributes({'name': name})}>{_text(value)}</attribute>\n")
        return "".join(found)

    def _extras(self, record: LabelRecord) -> dict[str, str]:
        if others := len(set(record.extras) - {_NAME}):
            self._about.losses.count("extras", "of_other_formats", others)
        known = record.extras.get(_NAME, {})
        return {name: str(known[name]) for name in _EXTRAS if name in known}


def _single(answers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in answers.items():
        if isinstance(value, str):
            yield name, value
        else:
            yield from ((f"{name}/{escape(option)}", _TRUE) for option in value)


def _inputs(vocabulary: Vocabulary, feature: FeatureSchema) -> dict[str, tuple[str, str]]:
    """The type and the values of each attribute a label of the feature may have."""
    assert feature.id is not None
    found: dict[str, tuple[str, str]] = {}
    own = (
        [(escape(feature.name), feature)]
        if feature.type in CLASSIFICATION_TYPES
        else list(paths(vocabulary, feature.id))
    )
    if feature.type in CLASSIFICATION_TYPES:
        for option in vocabulary.children(feature.id):
            before = f"{escape(feature.name)}/{escape(option.name)}/"
            own += [(before + name, one) for name, one in paths(vocabulary, option.id)] if option.id else []
    for name, one in own:
        options = [option.name for option in vocabulary.children(one.id)]
        if one.type is FeatureType.CHECKLIST:
            found |= {f"{name}/{escape(option)}": ("checkbox", "false") for option in options}
        else:
            found[name] = (_INPUTS[one.type or FeatureType.FREE_TEXT], "\n".join(options))
    return found


def _declared(name: str, kind: str, values: str) -> str:
    words = f"<name>{_text(name)}</name><mutable>False</mutable><input_type>{kind}</input_type>"
    return f"<attribute>{words}<default_value></default_value><values>{_text(values)}</values></attribute>"


def _element(shape: Shape, inside: str) -> str:
    parts = "".join(_element(part, "") for part in shape.parts)
    return f"<{shape.tag}{_attributes(shape.attributes)}>\n{parts}{inside}</{shape.tag}>\n"


def _attributes(values: Mapping[str, object]) -> str:
    known = {name: _NO_XML.sub("", str(value)) for name, value in values.items() if value is not None}
    return "".join(f" {name}={quoteattr(value)}" for name, value in known.items())


def _text(value: str) -> str:
    # A bare carriage return would be read as a line feed.
    return text_of(_NO_XML.sub("", value), {"\r": "&#13;"})


@dataclass(frozen=True, slots=True)
class _Drawn:
    place: str
    shape: Shape
    answers: dict[str, str] = field(default_factory=dict)


class CvatReader:
    def __init__(self, importing: Importing) -> None:
        self._importing = importing
        self._others: dict[UUID, Set[str]] = {}

    def pieces(self) -> Iterator[Piece | Refusal]:
        self._importing.file.seek(0)
        index, root = 0, None
        try:
            for event, element in iterparse(self._importing.file, events=("start", "end"), forbid_dtd=True):
                root = element if root is None else root
                if event == "start" or element.tag not in {"image", "track"}:
                    continue
                place = f"/annotations/{element.tag}[{index + 1}]"
                index += 1
                yield _piece(element, place)
                root.clear()
        except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
            raise UnusableUpload("malformed_xml", f"the document is not XML that can be read: {error}"[:300]) from error

    def records(self, piece: Piece, row: RowFacts) -> Iterable[LabelRecord | Refusal]:
        for drawn in piece.raw:
            try:
                yield self._record(drawn, row)
            except Refused as refused:
                yield Refusal(drawn.place, refused)
            except ValidationError as error:
                yield Refusal(drawn.place, refused_by(error))

    def _record(self, drawn: _Drawn, row: RowFacts) -> LabelRecord:
        about, shape = self._importing, drawn.shape
        target = target_named(about, shape.attributes.get("label", ""), "/label")
        extras: dict[str, Any] = {
            name: shape.attributes[name] for name in _EXTRAS if shape.attributes.get(name) not in {None, "0", "manual"}
        }
        answers = _checked(self._no_checkboxes(target.feature), drawn.answers)
        if shape.tag == "tag" and target.feature is None:
            return LabelRecord(Classification(), None, model_class=target.model_class)
        whole = shape.tag == "tag"
        read = read_attributes(about.vocabulary, None if whole else target.feature_id, answers, "/attribute")
        if read.others:
            extras["attributes"] = read.others
        found = read.answers
        if whole:
            own = [answer for answer in found if answer.feature_schema_id == target.feature_id]
            if not own:
                raise Refused("not_an_answer", "the tag has no attribute named like its label", "/attribute")
            annotation, found = own[0].annotation, [one for one in found if one is not own[0]]
        else:
            annotation = cvat.read(shape, row)
        return LabelRecord(
            annotation=annotation,
            feature_schema_id=target.feature_id,
            answers=tuple(found),
            model_class=target.model_class,
            extras={_NAME: extras} if extras else {},
        )

    def _no_checkboxes(self, feature: FeatureSchema | None) -> Set[str]:
        """The attributes of its labels that hold a word."""
        if feature is None or feature.id is None:
            return frozenset()
        if feature.id not in self._others:
            inputs = _inputs(self._importing.vocabulary, feature)
            self._others[feature.id] = {name for name, (kind, _) in inputs.items() if kind != "checkbox"}
        return self._others[feature.id]


def _checked(others: Set[str], answers: Mapping[str, str]) -> dict[str, Any]:
    """Checkboxes back to lists: `flags/wet` that is true is one more of `flags`. Of `others` it is a word."""
    found: dict[str, Any] = {}
    for name, value in answers.items():
        before, _, option = name.rpartition("/")
        if value.lower() in {_TRUE, "false"} and before and name not in others:
            if value.lower() == _TRUE:
                found.setdefault(before, []).append(option.replace("~1", "/").replace("~0", "~"))
        else:
            found[name] = value
    return found


def _piece(element: Any, place: str) -> Piece | Refusal:
    if element.tag == "track":
        return Refusal(place, Refused("not_supported", "tracks of videos are not taken"))
    name = element.get("name")
    if not name or len(name) > 500:  # noqa: PLR2004
        return Refusal(
            place, Refused("data_row_missing", "an image is named by the global key of its data row", "/name")
        )
    drawn = []
    for number, child in enumerate(element, 1):
        parts = [Shape(one.tag, dict(one.attrib)) for one in child if one.tag == "points"]
        answers = {one.get("name", ""): one.text or "" for one in child if one.tag == "attribute"}
        drawn.append(_Drawn(f"{place}/*[{number}]", Shape(child.tag, dict(child.attrib), parts), answers))
    return Piece(place, RowReference(global_key=name), drawn)


FORMAT = ExchangeFormat(
    name=_NAME,
    title="CVAT XML 1.1 for images",
    media_type="application/xml",
    suffix="xml",
    projects=frozenset({"image"}),
    holds={
        "bounding_box": (),
        "polygon": ("holes_rasterised", "holes_filled", "parts_apart"),
        "polyline": (),
        "point": (),
        "keypoints": (),
        "mask": ("nothing_drawn",),
        "radio": (),
        "checklist": (),
        "free_text": (),
        "answers": ("unprintable_dropped",),
        "extras": ("of_other_formats",),
        "empty_rows": (),
    },
    losses={
        **cvat.LOSSES,
        "unprintable_dropped": "XML cannot hold some control characters: they were left out of an answer",
        "of_other_formats": "what other formats than CVAT know about a label has no place in CVAT",
    },
    write=CvatWriter,
    read=CvatReader,
    takes=("application/xml", "text/xml"),
)
