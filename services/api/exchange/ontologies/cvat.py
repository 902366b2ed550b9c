"""CVAT's labels as JSON, as its constructor of labels shows them raw: each with its type and attributes."""

from collections.abc import Mapping
from typing import Any

import orjson

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
    try:
        sent = orjson.loads(reading.content)
    except orjson.JSONDecodeError as error:
        raise UnusableUpload("malformed_json", f"the labels are not JSON: {error}"[:300]) from error
    labels = objects(sent.get("labels") if isinstance(sent, dict) else sent, "labels")
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


FORMAT = OntologyFormat("cvat", "CVAT labels (JSON)", ("application/json",), _LOSSES, read)
