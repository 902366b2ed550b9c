"""Queries of the DETR family: logits over the classes and one box each."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from services.inference.decoders import boxes
from services.inference.decoders.base import Decoder, Found, Outputs
from services.inference.decoders.objects import (
    CORNERS,
    UNITS,
    Corners,
    Objects,
    Overlap,
    Units,
    as_corners,
    frame_of,
    kept,
    sure,
)
from services.inference.decoders.scores import activated
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import BadModelOutput


class DetrParameters(Overlap):
    kind: Literal["detr"] = "detr"
    logits: str = Field(
        "logits", description="the output of logits: Q x (C + 1) with softmax, the last for no object; else Q x C"
    )
    boxes: str = Field("pred_boxes", description="the output of boxes, Q x 4")
    activation: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="`softmax` (DETR, Conditional DETR) or `sigmoid` (Deformable DETR, RT-DETR)"
    )
    corners: Corners = Field("cxcywh", description=CORNERS)
    units: Units = Field("normalized", description=UNITS)
    nms_iou: float | None = Field(
        None, ge=0, le=1, description="of two boxes that overlap by more, the surer one stays; null: all stay"
    )


def decode(
    model: ServedModel, parameters: DetrParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    return [
        boxes.found(model, *kept(model, read(model, parameters, outputs, row), parameters, placement))
        for row, placement in enumerate(placements)
    ]


def read(model: ServedModel, parameters: DetrParameters, outputs: Outputs, row: int) -> Objects:
    """The candidates of one row, nothing under the floor. Raises BadModelOutput."""
    logits, raw = outputs[parameters.logits][row], outputs[parameters.boxes][row]
    count = len(model.classes)
    wanted = count + (parameters.activation == "softmax")
    if logits.ndim != 2 or logits.shape[1] != wanted or raw.shape != (len(logits), 4):  # noqa: PLR2004
        raise BadModelOutput(
            f"expected Q x {wanted} logits and Q x 4 boxes, got shapes {list(logits.shape)} and {list(raw.shape)}"
        )
    shares = activated(logits, parameters.activation)[:, :count]
    classes = shares.argmax(axis=1)
    scores = shares[np.arange(len(shares)), classes]
    places = sure(model, scores)
    frame = frame_of(model) if parameters.units == "normalized" else None
    corners = as_corners(raw[places], parameters.corners, frame)
    return Objects(corners, scores[places], classes[places], places, np.zeros((len(places), 0)))


DECODER = Decoder(version=1, parameters=DetrParameters, decode=decode)
