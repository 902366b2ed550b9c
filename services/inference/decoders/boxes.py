"""Boxes, scores and class numbers of objects, before or after overlapping ones were merged."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs
from services.inference.decoders.objects import (
    CORNERS,
    UNITS,
    Corners,
    Objects,
    Overlap,
    Units,
    as_corners,
    box_of,
    frame_of,
    kept,
    sure,
)
from services.inference.decoders.scores import ACTIVATION, Activation, activated, confidences
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput


class BoxParameters(Overlap):
    kind: Literal["boxes"] = "boxes"
    boxes: str = Field(
        "boxes", description="the output of boxes, N x 4; with `joined`, N x 6: box, score, class number"
    )
    scores: str = Field("scores", description="the output of scores, N; or N x C, one for each class")
    classes: str | None = Field(
        "classes", description="the output of class numbers, N; null where `scores` is N x C: the surest class counts"
    )
    joined: bool = Field(False, description="box, score and class number stand in one output; two are not read")
    corners: Corners = Field("xyxy", description=CORNERS)
    units: Units = Field("pixels", description=UNITS)
    activation: Activation = Field("none", description=f"of scores that are N x C: {ACTIVATION}")
    background: int | None = Field(
        None, ge=0, description="the model's number for nothing; the card's classes are the others, in their order"
    )


def decode(
    model: ServedModel, parameters: BoxParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    return [_row(model, parameters, outputs, row, placement) for row, placement in enumerate(placements)]


def _row(
    model: ServedModel, parameters: BoxParameters, outputs: Outputs, row: int, placement: Placement
) -> list[Found]:
    return found(model, *kept(model, read(model, parameters, outputs, row), parameters, placement))


def found(model: ServedModel, objects: Objects, corners: Array) -> list[Found]:
    """Boxes as they are given by every decoder of boxes."""
    return [
        Found(model.classes[int(number)], float(score), box_of(sides))
        for number, score, sides in zip(objects.classes, objects.scores, corners, strict=True)
    ]


def read(model: ServedModel, parameters: BoxParameters, outputs: Outputs, row: int) -> Objects:
    """The candidates of one row, nothing under the floor. Raises BadModelOutput."""
    boxes, scores, classes = _columns(model, parameters, outputs, row)
    if boxes.shape != (len(scores), 4) or scores.shape != classes.shape:
        shapes = f"{list(boxes.shape)}, {list(scores.shape)} and {list(classes.shape)}"
        raise BadModelOutput(f"boxes, scores and classes have the shapes {shapes}")
    scores = confidences(scores)
    places = sure(model, scores)
    if parameters.background is not None:
        places = places[classes[places] != parameters.background]
        classes = np.where(classes > parameters.background, classes - 1, classes)
    boxes, scores, classes = boxes[places], scores[places], classes[places]
    if classes.size and not (classes.min() >= 0 and classes.max() < len(model.classes)):
        raise BadModelOutput(f"a class number lies outside the card's {len(model.classes)} classes")
    frame = frame_of(model) if parameters.units == "normalized" else None
    corners = as_corners(boxes, parameters.corners, frame)
    return Objects(corners, scores, classes, places, np.zeros((len(places), 0)))


def _columns(model: ServedModel, parameters: BoxParameters, outputs: Outputs, row: int) -> tuple[Array, Array, Array]:
    if parameters.joined:
        joined = outputs[parameters.boxes][row]
        if joined.ndim != 2 or joined.shape[1] != 6:  # noqa: PLR2004 - a box, a score, a class
            raise BadModelOutput(f"expected N x 6 in {parameters.boxes!r}, got shape {list(joined.shape)}")
        return joined[:, :4], joined[:, 4], joined[:, 5]
    boxes, scores = outputs[parameters.boxes][row], outputs[parameters.scores][row]
    if parameters.classes is not None:
        return boxes, scores, outputs[parameters.classes][row]
    wanted = len(model.classes) + (parameters.background is not None)
    if scores.ndim != 2 or scores.shape[1] != wanted:  # noqa: PLR2004 - objects and classes
        raise BadModelOutput(f"expected N x {wanted} in {parameters.scores!r}, got shape {list(scores.shape)}")
    shares = activated(scores, parameters.activation)
    classes = shares.argmax(axis=1)
    return boxes, shares[np.arange(len(shares)), classes], classes


DECODER = Decoder(version=1, parameters=BoxParameters, decode=decode)
