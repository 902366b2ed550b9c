"""Labelbox's ontology as JSON (`normalized`): tools with classifications, options with what stands under them."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.api.exchange.formats.base import UnusableUpload
from services.api.exchange.ontologies.base import OntologyFormat, ReadingOntology
from services.api.exchange.ontologies.names import Names, objects
from shared.ontology import Ontology

_TOOLS: Mapping[str, str] = {
    "rectangle": "bounding_box",
    "polygon": "polygon",
    "line": "polyline",
    "point": "point",
    "superpixel": "mask",
    "raster-segmentation": "mask",
    "named-entity": "text_entity",
}
_CLASSIFICATIONS: Mapping[str, str] = {
    "radio": "radio",
    "checklist": "checklist",
    "dropdown": "radio",
    "text": "free_text",
}
_MOST_LEVELS = 8
_LOSSES: Mapping[str, str] = {
    "tool_not_supported": "there is no such tool here; it is left out",
    "classification_not_supported": "there is no such classification here; it is left out",
    "value_dropped": "an option has one name; its label is kept, its value is not",
}


def read(reading: ReadingOntology) -> Ontology:
    try:
        sent = orjson.loads(reading.content)
    except orjson.JSONDecodeError as error:
        raise UnusableUpload("malformed_json", f"the ontology is not JSON: {error}"[:300]) from error
    if not isinstance(sent, dict):
        raise UnusableUpload("invalid_ontology", "the ontology should be an object")
    sent = sent.get("normalized", sent)
    names = Names()  # tools and top classifications share one set of names
    reader = _Reader(reading)
    tools = [reader.tool(one, names) for one in objects(sent.get("tools", []), "tools")]
    classifications = reader.below(sent.get("classifications", []), names, 1)
    return Ontology.model_validate(
        {"tools": [one for one in tools if one is not None], "classifications": classifications}
    )


class _Reader:
    def __init__(self, reading: ReadingOntology) -> None:
        self._losses = reading.losses

    def tool(self, sent: Mapping[str, Any], names: Names) -> dict[str, Any] | None:
        kind = _TOOLS.get(str(sent.get("tool")))
        if kind is None:
            self._losses.count(f"tool {str(sent.get('tool'))[:50]}", "tool_not_supported")
            return None
        name = names.take(sent.get("name"), "a tool")
        color = sent.get("color")
        return {
            "type": kind,
            "name": name,
            "required": bool(sent.get("required", False)),
            "color": color if _is_color(color) else None,
            "classifications": self.below(sent.get("classifications", []), Names(), 2),
        }

    def below(self, sent: Any, names: Names, level: int) -> list[dict[str, Any]]:
        if level > _MOST_LEVELS:
            raise UnusableUpload("nested_too_deep", f"at most {_MOST_LEVELS} levels are taken")
        found = (self._classification(one, names, level) for one in objects(sent or [], "classifications"))
        return [one for one in found if one is not None]

    def _classification(self, sent: Mapping[str, Any], names: Names, level: int) -> dict[str, Any] | None:
        kind = _CLASSIFICATIONS.get(str(sent.get("type")))
        if kind is None:
            self._losses.count(f"classification {str(sent.get('type'))[:50]}", "classification_not_supported")
            return None
        name = names.take(sent.get("name") or sent.get("instructions"), "a classification")
        instructions = sent.get("instructions")
        options: list[dict[str, Any]] = []
        if kind != "free_text":
            taken = Names()
            options = [self._option(one, taken, level) for one in objects(sent.get("options", []), "options")]
        return {
            "type": kind,
            "name": name,
            "instructions": instructions[:2000] if isinstance(instructions, str) and instructions != name else "",
            "required": bool(sent.get("required", False)),
            "options": options,
        }

    def _option(self, sent: Mapping[str, Any], names: Names, level: int) -> dict[str, Any]:
        value, label = sent.get("value"), sent.get("label")
        if label and value and str(label).casefold() != str(value).casefold():
            self._losses.count("option", "value_dropped")
        # Labelbox calls what stands under an option `options` too.
        below = sent.get("options") or sent.get("classifications") or []
        return {
            "name": names.take(label or value, "an option"),
            "classifications": self.below(below, Names(), level + 2),
        }


def _is_color(color: Any) -> bool:
    if not isinstance(color, str) or len(color) != len("#rrggbb") or color[0] != "#":
        return False
    return all(character in "0123456789abcdefABCDEF" for character in color[1:])


FORMAT = OntologyFormat("labelbox", "Labelbox ontology (JSON)", ("application/json",), _LOSSES, read)
