"""Exchange formats by the name requests say. To add one: write its file, name it here; docs/exchange.md follows.

`base` has what a format offers, `prelabel` is the one that loses nothing.
"""

from collections.abc import Mapping

from services.api.exchange.formats import coco, cvat, label_studio, labelbox, prelabel, yolo
from services.api.exchange.formats.base import ExchangeFormat

FORMATS: Mapping[str, ExchangeFormat] = {
    "prelabel": prelabel.FORMAT,
    "labelbox": labelbox.FORMAT,
    "coco": coco.FORMAT,
    "label_studio": label_studio.FORMAT,
    "yolo": yolo.FORMAT,
    "cvat": cvat.FORMAT,
}

__all__ = ["FORMATS", "ExchangeFormat"]
