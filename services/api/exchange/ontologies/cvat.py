"""CVAT's labels, each with its type and attributes: as JSON, which its constructor shows raw, or the XML of an export.

An export has them in its `meta`, so a whole `annotations.xml` may be sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from services.api.exchange.formats.base import UnusableUpload
from services.api.exchange.ontologies.base import OntologyFormat, ReadingOntology
from services.api.exchange.ontologies.names import Names, objects, options_of
from shared.ontology import Ontology

_TOOLS: Mapping[str, str] = {
    "any": "bounding_box",
    "rectangle": "bounding_box",
    "polygon": "polygon",
    "polyline": "polyline",
    "points": "point",
    "mask": "mask",
    "ellipse": "polygon",
}
_BOM = b"\xef\xbb\xbf"
_LOSSES: Mapping[str, str] = {
    "type_guessed": "a label of any type is a bounding box here",
    "ellipse_is_polygon": "there are no ellipses here; they are polygons",
    "label_not_supported": "there is no such tool here; it is left out",
    "range_dropped": "a number's range is not kept: it is a free text",
    "default_dropped": "answers have no default",
    "mutable_dropped": "an attribute that changes over frames is an answer like any",
}


def read(reading: ReadingOntology) -> Ontology:
    if reading.media_type != "image":
        raise UnusableUpload("does_not_fit_media_type", "CVAT is for image projects")
    content = reading.content.removeprefix(_BOM).lstrip()
    labels = _of_xml(reading, content) if content.startswith(b"<") else _of_json(content)
    names = Names()
    tools, classifications = [], []
    for one in labels:
        kind = str(one.get("type", "any"))
        if kind == "tag":
            classifications.append(_tag(reading, one, names))
        elif kind in _TOOLS:
            tools.append(_tool(reading, one, names, kind))
        else:
            reading.losses.count(f"label of type {kind[:50]}", "label_not_supported")
    return Ontology.model_validate({"tools": tools, "classifications": classifications})


def _of_json(content: bytes) -> Sequence[Mapping[str, Any]]:
    try:
        sent = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UnusableUpload("malformed_json", f"the labels are not JSON: {error}"[:300]) from error
    return objects(sent.get("labels") if isinstance(sent, dict) else sent, "labels")


def _of_xml(reading: ReadingOntology, content: bytes) -> Sequence[Mapping[str, Any]]:
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise UnusableUpload("malformed_xml", f"the labels are not XML that is taken: {error}"[:300]) from error
    found = [label for labels in root.iter("labels") for label in labels.iter("label")]
    if not found:
        raise UnusableUpload("labels_missing", "there are no labels in it")
    points = [one for one in found if one.findtext("parent")]
    if points:
        reading.losses.count("label of a skeleton", "label_not_supported", len(points))
    return [_label(one) for one in found if one not in points]


def _label(element: Any) -> dict[str, Any]:
    """As it stands in JSON."""
    sent = {part.tag: part.text or "" for part in element if part.tag != "attributes"}
    return {
        **sent,
        "type": sent.get("type") or "any",
        "attributes": [_attribute(one) for one in element.iter("attribute")],
    }


def _attribute(element: Any) -> dict[str, Any]:
    sent = {part.tag: part.text or "" for part in element}
    values = [value for value in sent.get("values", "").splitlines() if value]
    return {**sent, "values": values, "mutable": sent.get("mutable", "").lower() == "true"}


def _tool(reading: ReadingOntology, sent: Mapping[str, Any], names: Names, kind: str) -> dict[str, Any]:
    if kind == "any":
        reading.losses.count("label", "type_guessed")
    if kind == "ellipse":
        reading.losses.count("label", "ellipse_is_polygon")
    name = names.take(sent.get("name"), "a label")
    color = sent.get("color")
    is_color = isinstance(color, str) and len(color) == len("#rrggbb") and color.startswith("#")
    return {
        "type": _TOOLS[kind],
        "name": name,
        "color": color if is_color else None,
        "classifications": _attributes(reading, sent.get("attributes") or []),
    }


def _tag(reading: ReadingOntology, sent: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """A tag is there or not: a checklist of one, with its attributes under it."""
    name = names.take(sent.get("name"), "a label")
    below = _attributes(reading, sent.get("attributes") or [])
    return {"type": "checklist", "name": name, "options": [{"name": name, "classifications": below}]}


def _attributes(reading: ReadingOntology, sent: Any) -> list[dict[str, Any]]:
    names = Names()
    found = []
    for one in objects(sent, "attributes"):
        name = names.take(one.get("name"), "an attribute")
        if one.get("default_value") not in {None, ""}:
            reading.losses.count("attribute", "default_dropped")
        if one.get("mutable"):
            reading.losses.count("attribute", "mutable_dropped")
        values = one.get("values") if isinstance(one.get("values"), list) else []
        found.append({"name": name, **_answer(reading, str(one.get("input_type")), values, name)})
    return found


def _answer(reading: ReadingOntology, kind: str, values: Any, name: str) -> dict[str, Any]:
    if kind in {"select", "radio"}:
        return {"type": "radio", "options": options_of(values, name)}
    if kind == "checkbox":
        return {"type": "radio", "options": options_of(["true", "false"], name)}
    if kind == "number":
        reading.losses.count("attribute", "range_dropped")
    return {"type": "free_text"}


FORMAT = OntologyFormat(
    "cvat", "CVAT labels (JSON or XML)", ("application/json", "application/xml", "text/xml"), _LOSSES, read
)
