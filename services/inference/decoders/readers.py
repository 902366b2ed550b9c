"""Objects by the `kind` of their parameters, for decoders that say more of an object than its box."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field

from services.inference.decoders import boxes, detr, yolo
from services.inference.decoders.base import Outputs
from services.inference.decoders.boxes import BoxParameters
from services.inference.decoders.detr import DetrParameters
from services.inference.decoders.objects import Objects
from services.inference.decoders.yolo import YoloParameters
from services.inference.served_model import ServedModel

OBJECTS = (
    "where boxes, scores and classes come from: `kind` is `boxes`, `yolo` or `detr`, the rest the parameters of that"
)

ObjectParameters = Annotated[BoxParameters | YoloParameters | DetrParameters, Field(discriminator="kind")]

_READERS: Mapping[str, Callable[[ServedModel, Any, Outputs, int], Objects]] = {
    "boxes": boxes.read,
    "yolo": yolo.read,
    "detr": detr.read,
}


def read_objects(model: ServedModel, parameters: ObjectParameters, outputs: Outputs, row: int) -> Objects:
    """The candidates of one row, nothing under the floor. Raises BadModelOutput."""
    return _READERS[parameters.kind](model, parameters, outputs, row)
