"""Raw heads of the YOLO family: thousands of candidates in one output, merged here (NMS)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from services.inference.decoders import boxes
from services.inference.decoders.base import Decoder, Found, Outputs
from services.inference.decoders.objects import Objects, Overlap, as_corners, frame_of, kept, sure
from services.inference.decoders.scores import confidences
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput

_STRIDES = (8, 16, 32)
_LAYOUT = (
    "`v5`: N x (5 + C): centre, width, height, objectness, class scores (YOLOv5, v7); "
    "`v8`: (4 + C) x N, without objectness (YOLOv8, v9, 11); "
    "`x`: as v5, but boxes relative to the cells of a grid (YOLOX)"
)


class YoloParameters(Overlap):
    kind: Literal["yolo"] = "yolo"
    output: str = Field("output0", description="the output; boxes in pixels of the model's input, scores from 0 to 1")
    layout: Literal["v5", "v8", "x"] = Field("v8", description=_LAYOUT)
    strides: tuple[int, ...] = Field(
        _STRIDES, min_length=1, max_length=6, description="of layout `x`: pixels a cell, in the order of the output"
    )
    extra: int = Field(0, ge=0, le=10_000, description="numbers behind the class scores: mask coefficients, key points")


def decode(
    model: ServedModel, parameters: YoloParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    return [
        boxes.found(model, *kept(model, read(model, parameters, outputs, row), parameters, placement))
        for row, placement in enumerate(placements)
    ]


def read(model: ServedModel, parameters: YoloParameters, outputs: Outputs, row: int) -> Objects:
    """The candidates of one row, nothing under the floor. Raises BadModelOutput."""
    head = outputs[parameters.output][row]
    before, count = (4 if parameters.layout == "v8" else 5), len(model.classes)
    wanted = before + count + parameters.extra
    if head.ndim == 2 and parameters.layout == "v8":  # noqa: PLR2004 - candidates and their numbers
        head = head.T
    if head.ndim != 2 or head.shape[1] != wanted:  # noqa: PLR2004
        raise BadModelOutput(f"expected {wanted} numbers a candidate, got shape {list(head.shape)}")
    scores, classes = _surest(confidences(head[:, before : before + count]))
    if parameters.layout != "v8":
        scores = scores * confidences(head[:, 4])
    places = sure(model, scores)
    raw = head[places, :4]
    if parameters.layout == "x":
        raw = _from_cells(raw, places, len(head), frame_of(model), parameters.strides)
    corners = as_corners(raw, "cxcywh")
    return Objects(corners, scores[places], classes[places], places, head[places, before + count :])


def _surest(scores: Array) -> tuple[Array, Array]:
    classes = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), classes], classes


def _from_cells(raw: Array, places: Array, count: int, frame: tuple[int, int], strides: Sequence[int]) -> Array:
    """Centre, width, height in pixels; the cells of each stride lie row by row behind those of the one before."""
    cells = [_cells(frame, stride) for stride in strides]
    origins = np.concatenate([origin for origin, _ in cells])
    sizes = np.concatenate([size for _, size in cells])
    if len(origins) != count:
        raise BadModelOutput(f"{count} candidates, but the strides {list(strides)} make {len(origins)} cells")
    centres = (raw[:, :2] + origins[places]) * sizes[places, None]
    with np.errstate(over="ignore"):
        sides = np.exp(raw[:, 2:].astype(np.float64)) * sizes[places, None]
    if not np.isfinite(sides).all():
        raise BadModelOutput("a box is infinitely large")
    return np.concatenate([centres, sides], axis=1)


def _cells(frame: tuple[int, int], stride: int) -> tuple[Array, Array]:
    columns, rows = frame[0] // stride, frame[1] // stride
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.stack([x, y], axis=1), np.full(rows * columns, stride)


DECODER = Decoder(version=1, parameters=YoloParameters, decode=decode)
