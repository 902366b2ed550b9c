"""Categories of a COCO document, each a bounding box tool: COCO does not say how a category is drawn."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.api.exchange.formats.base import UnusableUpload
from services.api.exchange.ontologies.base import OntologyFormat, ReadingOntology
from services.api.exchange.ontologies.names import Names, objects
from shared.ontology import Ontology

_LOSSES: Mapping[str, str] = {
    "supercategory_dropped": "categories stand side by side here",
    "keypoints_dropped": "no tool has named points; a point tool is made of a category with keypoints",
}


def read(reading: ReadingOntology) -> Ontology:
    if reading.media_type != "image":
        raise UnusableUpload("does_not_fit_media_type", "COCO is for image projects")
    try:
        sent = orjson.loads(reading.content)
    except orjson.JSONDecodeError as error:
        raise UnusableUpload("malformed_json", f"the document is not JSON: {error}"[:300]) from error
    found = sent.get("categories") if isinstance(sent, dict) else sent
    names = Names()
    tools = [_tool(reading, one, names) for one in objects(found, "categories")]
    return Ontology.model_validate({"tools": tools})


def _tool(reading: ReadingOntology, sent: Mapping[str, Any], names: Names) -> dict[str, Any]:
    name = names.take(sent.get("name"), "a category")
    if sent.get("supercategory") not in {None, "", "none", name}:
        reading.losses.count("supercategory", "supercategory_dropped")
    if sent.get("keypoints"):
        reading.losses.count("keypoints", "keypoints_dropped")
        return {"type": "point", "name": name}
    return {"type": "bounding_box", "name": name}


FORMAT = OntologyFormat("coco", "COCO categories", ("application/json",), _LOSSES, read)
