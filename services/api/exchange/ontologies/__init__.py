"""Ontologies of other tools, by the name requests say. To add one: write its file, name it here."""

from collections.abc import Mapping

from services.api.exchange.ontologies import coco, cvat, label_studio, labelbox
from services.api.exchange.ontologies.base import OntologyFormat

ONTOLOGY_FORMATS: Mapping[str, OntologyFormat] = {
    "labelbox": labelbox.FORMAT,
    "label_studio": label_studio.FORMAT,
    "coco": coco.FORMAT,
    "cvat": cvat.FORMAT,
}

__all__ = ["ONTOLOGY_FORMATS", "OntologyFormat"]
