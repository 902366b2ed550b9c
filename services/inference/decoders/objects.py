"""Candidate objects of one data row: how their boxes are read, which of them stay, and where they lie in the image.

`boxes`, `yolo` and `detr` read them; `instance_masks` and `keypoints` add to what those read.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from pydantic import Field

from services.inference.decoders.base import Parameters
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.annotations import BoundingBox

Corners: TypeAlias = Literal["xyxy", "cxcywh", "xywh"]
Units: TypeAlias = Literal["pixels", "normalized"]
CORNERS = "`xyxy` left, top, right, bottom; `cxcywh` centre, width, height; `xywh` left, top, width, height"
UNITS = "`pixels` of the model's input, or `normalized`: 0 to 1 of its width and height"

_CANDIDATES = 4096
_FARTHEST = 1e6  # beyond any image; farther corners would not survive their way through OpenCV's numbers


class Overlap(Parameters):
    """Which candidates are the same object (NMS)."""

    nms_iou: float | None = Field(
        0.5, ge=0, le=1, description="of two boxes that overlap by more, the surer one stays; null: all stay"
    )
    class_agnostic: bool = Field(False, description="boxes of different classes push each other out too")


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """N candidates. `corners` N x 4: left, top, right, bottom in pixels of the model's input; `scores` N, 0 to 1;
    `classes` N, numbers of the card's classes; `places` N, where they stand among all candidates of the row;
    `extra` N x K, what a raw head says besides."""

    corners: Array
    scores: Array
    classes: Array
    places: Array
    extra: Array

    def at(self, indices: Array) -> "Objects":
        return Objects(
            self.corners[indices],
            self.scores[indices],
            self.classes[indices],
            self.places[indices],
            self.extra[indices],
        )


def frame_of(model: ServedModel) -> tuple[int, int]:
    """Width and height of the picture the model sees."""
    frame: tuple[int, int] | None = getattr(model.card.preprocessing, "frame", None)
    if frame is None:
        raise BadModelOutput(f"preprocessing {model.card.preprocessing.kind!r} makes no picture to find objects in")
    return frame


def as_corners(boxes: Array, corners: Corners, frame: tuple[int, int] | None = None) -> Array:
    """N x 4 left, top, right, bottom; in pixels of `frame` when the boxes are normalized and it is given."""
    found = boxes.astype(np.float64)
    if corners == "cxcywh":
        found[:, :2] -= found[:, 2:] / 2
    if corners != "xyxy":
        found[:, 2:] += found[:, :2]
    if frame is not None:
        found *= np.array([*frame, *frame], np.float64)
    clipped: Array = np.clip(found, -_FARTHEST, _FARTHEST)
    return clipped


def sure(model: ServedModel, scores: Array) -> Array:
    """The places of scores at or above the card's floor; of very many, the surest."""
    places = np.flatnonzero(scores >= model.card.floor)
    if len(places) > _CANDIDATES:
        places = np.sort(places[np.argsort(-scores[places], kind="stable")[:_CANDIDATES]])
    return places


def in_image(objects: Objects, placement: Placement) -> Array:
    """N x 4 corners in image pixels, not cut at the image's edges."""
    scale = np.array([placement.scale_x, placement.scale_y] * 2)
    offset = np.array([placement.offset_x, placement.offset_y] * 2)
    corners: Array = (objects.corners - offset) / scale
    return corners


def cut(places: Array, placement: Placement) -> Array:
    """Places (x, y on the last axis) within the image, to hundredths of a pixel."""
    limits = np.array([placement.canvas.width, placement.canvas.height], np.float64)
    within: Array = np.round(np.clip(places, 0.0, limits), 2)
    return within


def kept(model: ServedModel, objects: Objects, overlap: Overlap, placement: Placement) -> tuple[Objects, Array]:
    """Those that stay, surest first and at most `max_detections`, with their cut corners in the image."""
    objects = objects.at(_apart(objects, overlap))
    corners = cut(in_image(objects, placement).reshape(-1, 2, 2), placement).reshape(-1, 4)
    visible = np.flatnonzero((corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1]))
    visible = visible[: model.card.max_detections]
    return objects.at(visible), corners[visible]


def box_of(corners: Array) -> BoundingBox:
    left, top, right, bottom = (float(side) for side in corners)
    return BoundingBox(left=left, top=top, width=round(right - left, 2), height=round(bottom - top, 2))


def _apart(objects: Objects, overlap: Overlap) -> Array:
    """Indices of what stays after NMS, surest first."""
    boxes, scores = objects.corners, objects.scores
    if not len(scores) or overlap.nms_iou is None:
        return np.argsort(-scores, kind="stable")
    # From zero up: OpenCV keeps the classes apart by moving each beyond the largest coordinate.
    sized = np.concatenate([boxes[:, :2] - boxes[:, :2].min(axis=0), boxes[:, 2:] - boxes[:, :2]], axis=1)
    classes = np.zeros_like(objects.classes) if overlap.class_agnostic else objects.classes
    found = cv2.dnn.NMSBoxesBatched(sized.tolist(), scores.tolist(), classes.astype(int).tolist(), 0.0, overlap.nms_iou)
    indices = np.sort(np.ravel(found).astype(np.int64))
    surest: Array = indices[np.argsort(-scores[indices], kind="stable")]
    return surest
