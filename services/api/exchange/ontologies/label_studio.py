"""Label Studio's labeling configuration (XML): what is drawn becomes tools, what is chosen or written classifications.

Choices and texts `perRegion` stand under the tools they are shown for, or under all.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from services.api.exchange.formats.base import UnusableUpload
from services.api.exchange.ontologies.base import OntologyFormat, ReadingOntology
from services.api.exchange.ontologies.names import Names, options_of
from shared.answers import option_key
from shared.ontology import Ontology

_TOOLS: Mapping[str, str] = {
    "RectangleLabels": "bounding_box",
    "PolygonLabels": "polygon",
    "KeyPointLabels": "point",
    "BrushLabels": "mask",
    "Labels": "text_entity",
    "VectorLabels": "polyline",
    "EllipseLabels": "polygon",
}
_SHOWN = frozenset({"View", "Image", "Text", "Header", "Label", "Choice", "Style", "Filter", "HyperText"})
_LOSSES: Mapping[str, str] = {
    "tag_not_supported": "there is nothing like it here; it is left out",
    "ellipse_is_polygon": "there are no ellipses here; they are polygons",
    "condition_dropped": "when a control is shown is kept only where it names a label",
}


def read(reading: ReadingOntology) -> Ontology:
    try:
        root = fromstring(reading.content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise UnusableUpload("malformed_xml", f"the configuration is not XML that is taken: {error}"[:300]) from error
    names = Names()
    tools: list[dict[str, Any]] = []
    classifications: list[dict[str, Any]] = []
    regions: list[tuple[Any, dict[str, Any]]] = []
    for element in root.iter():
        tag = str(element.tag)
        if tag in _TOOLS:
            tools += _tools(reading, element, names)
        elif (answer := _answer(element)) is None:
            if tag not in _SHOWN:
                reading.losses.count(tag[:50], "tag_not_supported")
        elif element.get("perRegion") == "true":
            regions.append((element, answer))
        else:
            classifications.append({**answer, "name": names.take(answer["name"], "a control")})
    for element, answer in regions:
        _put_under(reading, element, answer, tools)
    return Ontology.model_validate({"tools": tools, "classifications": classifications})


def _tools(reading: ReadingOntology, element: Any, names: Names) -> Iterator[dict[str, Any]]:
    if element.tag == "EllipseLabels":
        reading.losses.count("EllipseLabels", "ellipse_is_polygon")
    for label in element.iter("Label"):
        name = names.take(label.get("value"), "a label")
        yield {"type": _TOOLS[element.tag], "name": name, "classifications": []}


def _answer(element: Any) -> dict[str, Any] | None:
    """None for a tag that asks nothing."""
    name, required = element.get("name"), element.get("required") == "true"
    if element.tag == "Choices":
        kind = "checklist" if element.get("choice") == "multiple" else "radio"
        values = [one.get("value", "") for one in element.iter("Choice")]
        return {"type": kind, "name": name, "required": required, "options": options_of(values, str(name))}
    if element.tag == "TextArea":
        return {"type": "free_text", "name": name, "required": required}
    return None


def _put_under(reading: ReadingOntology, element: Any, answer: Mapping[str, Any], tools: list[dict[str, Any]]) -> None:
    wanted = {option_key(one) for one in str(element.get("whenLabelValue") or "").split(",") if one.strip()}
    if element.get("whenChoiceValue"):
        reading.losses.count(str(element.tag), "condition_dropped")
    for tool in tools:
        if not wanted or option_key(tool["name"]) in wanted:
            names = Names({option_key(one["name"]) for one in tool["classifications"]})
            tool["classifications"].append({**answer, "name": names.take(answer["name"], "a control")})


FORMAT = OntologyFormat(
    "label_studio",
    "Label Studio labeling configuration (XML)",
    ("application/xml", "text/xml"),
    _LOSSES,
    read,
)
