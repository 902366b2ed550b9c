"""Boxes, scores and class numbers of candidate objects; overlapping ones of a class are merged here (NMS)."""

from collections.abc import Sequence

import cv2
import numpy as np

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.triton import Array, BadModelOutput
from shared.annotations import BoundingBox
from shared.model_card import ModelCard

_ROUNDING = 1e-3


class BoxParameters(Parameters):
    """Names of the outputs: `boxes` N x 4 as left, top, right, bottom in model pixels, `scores` N, `classes` N.

    `nms_iou`: of two boxes of one class that overlap by more than this, the surer one stays.
    """

    boxes: str = "boxes"
    scores: str = "scores"
    classes: str = "classes"
    nms_iou: float = 0.5


def decode(
    model: ServedModel, parameters: BoxParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    boxes, scores, classes = outputs[parameters.boxes], outputs[parameters.scores], outputs[parameters.classes]
    return [
        _row(model.card, parameters.nms_iou, (boxes[index], scores[index], classes[index]), placement)
        for index, placement in enumerate(placements)
    ]


def _row(card: ModelCard, nms_iou: float, raw: tuple[Array, Array, Array], placement: Placement) -> list[Found]:
    boxes, scores, classes = raw
    if scores.size and scores.max() > 1 + _ROUNDING:
        raise BadModelOutput("a score lies above 1")
    sure = scores >= card.floor
    boxes, scores, classes = boxes[sure], scores[sure], classes[sure]
    if classes.size and not (classes.min() >= 0 and classes.max() < len(card.classes)):
        raise BadModelOutput(f"a class number lies outside the card's {len(card.classes)} classes")
    found = []
    for index in _keep(boxes, scores, classes, nms_iou)[: card.max_detections]:
        box = _box(boxes[index], placement)
        if box is not None:
            confidence = min(1.0, float(scores[index]))
            found.append(Found(card.classes[int(classes[index])], confidence, box))
    return found


def _keep(boxes: Array, scores: Array, classes: Array, nms_iou: float) -> list[int]:
    if not len(boxes):
        return []
    # From zero up: OpenCV keeps the classes apart by moving each beyond the largest coordinate.
    sized = np.concatenate([boxes[:, :2] - boxes[:, :2].min(axis=0), boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(sized.tolist(), scores.tolist(), classes.astype(int).tolist(), 0.0, nms_iou)
    return sorted((int(index) for index in np.ravel(kept)), key=lambda index: (-float(scores[index]), index))


def _box(corners: Array, placement: Placement) -> BoundingBox | None:
    left, top = placement.to_image(float(corners[0]), float(corners[1]))
    right, bottom = placement.to_image(float(corners[2]), float(corners[3]))
    left, top = round(max(left, 0.0), 2), round(max(top, 0.0), 2)
    right, bottom = round(min(right, placement.canvas.width), 2), round(min(bottom, placement.canvas.height), 2)
    if right <= left or bottom <= top:
        return None
    return BoundingBox(left=left, top=top, width=round(right - left, 2), height=round(bottom - top, 2))


DECODER = Decoder(version=1, parameters=BoxParameters, decode=decode)
