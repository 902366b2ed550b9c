"""Named points of objects, such as the joints of a person."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.decoders.boxes import BoxParameters
from services.inference.decoders.objects import UNITS, Objects, Units, cut, frame_of, kept
from services.inference.decoders.readers import OBJECTS, ObjectParameters, read_objects
from services.inference.decoders.scores import confidences, sigmoid
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.annotations import Keypoint, Keypoints

Name = Annotated[str, Field(min_length=1, max_length=200)]

_VISIBILITIES: tuple[Literal[0, 1, 2], ...] = (0, 1, 2)
_COCO = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)


class KeypointParameters(Parameters):
    """An object has its box's confidence; without boxes the mean score of its points. Points outside the image are
    moved to its edge."""

    objects: ObjectParameters | None = Field(
        BoxParameters(),
        description=f"{OBJECTS}; null: there are only points, of the card's first class",
    )
    points: str | None = Field(
        "keypoints",
        description="the output of points, N x K x 2 or 3 (or flat), K x 2 or 3 for a single object: place and score; "
        "null: they are the `extra` numbers of a `yolo` head",
    )
    names: tuple[Name, ...] = Field(
        tuple(_COCO.split()), min_length=1, max_length=1000, description="of the K points, in order; as in COCO"
    )
    scored: bool = Field(True, description="each point has a score behind its place")
    order: Literal["xy", "yx"] = Field("xy", description="of the two numbers of a place")
    units: Units = Field("pixels", description=UNITS)
    activation: Literal["none", "sigmoid"] = Field("none", description="`sigmoid` where the scores are logits")
    visible: float = Field(0.5, ge=0, le=1, description="from which score on a point is visible (2)")
    hidden: float = Field(0.05, ge=0, le=1, description="from which score on a point is hidden (1), not missing (0)")


def decode(
    model: ServedModel, parameters: KeypointParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    row_of = _alone if parameters.objects is None else _of_objects
    return [row_of(model, parameters, (outputs, row), placement) for row, placement in enumerate(placements)]


def _of_objects(
    model: ServedModel, parameters: KeypointParameters, raw: tuple[Outputs, int], placement: Placement
) -> list[Found]:
    if parameters.objects is None:
        return []
    candidates = read_objects(model, parameters.objects, *raw)
    objects, _ = kept(model, candidates, parameters.objects, placement)
    points = _checked(parameters, _points_of(parameters, objects, raw))
    found = zip(objects.classes, objects.scores, _annotations(model, parameters, points, placement), strict=True)
    return [Found(model.classes[int(number)], float(score), annotation) for number, score, annotation in found]


def _alone(
    model: ServedModel, parameters: KeypointParameters, raw: tuple[Outputs, int], placement: Placement
) -> list[Found]:
    points = _checked(parameters, raw[0][parameters.points or ""][raw[1]])
    sure = _scores(parameters, points).mean(axis=1)
    surest = [place for place in np.argsort(-sure, kind="stable") if sure[place] >= model.card.floor]
    surest = surest[: model.card.max_detections]
    annotations = _annotations(model, parameters, points[surest], placement)
    return [
        Found(model.classes[0], float(sure[place]), annotation)
        for place, annotation in zip(surest, annotations, strict=True)
    ]


def _points_of(parameters: KeypointParameters, objects: Objects, raw: tuple[Outputs, int]) -> Array:
    """Those of the objects, in their order, however they lie in their row."""
    if parameters.points is None:
        return objects.extra
    points: Array = raw[0][parameters.points][raw[1]]
    if len(objects.places) and objects.places.max() >= len(points):
        raise BadModelOutput(f"points of {len(points)} objects are fewer than the objects")
    chosen: Array = points[objects.places]
    return chosen


def _checked(parameters: KeypointParameters, points: Array) -> Array:
    """N x K x 2 or 3."""
    count, numbers = len(parameters.names), 3 if parameters.scored else 2
    if points.shape[-2:] != (count, numbers) and points.shape[-1:] != (count * numbers,):
        raise BadModelOutput(f"expected {count} points of {numbers} numbers, got shape {list(points.shape)}")
    checked: Array = points.reshape(-1, count, numbers).astype(np.float64)
    return checked


def _scores(parameters: KeypointParameters, points: Array) -> Array:
    """N x K, from 0 to 1; 1 where the model says nothing of it."""
    if not parameters.scored:
        return np.ones(points.shape[:2])
    return sigmoid(points[..., 2]) if parameters.activation == "sigmoid" else confidences(points[..., 2])


def _annotations(
    model: ServedModel, parameters: KeypointParameters, points: Array, placement: Placement
) -> list[Keypoints]:
    places = points[..., :2] if parameters.order == "xy" else points[..., 1::-1]
    if parameters.units == "normalized":
        places = places * np.array(frame_of(model), np.float64)
    scale, offset = (placement.scale_x, placement.scale_y), (placement.offset_x, placement.offset_y)
    within = cut((places - offset) / scale, placement)
    scores = _scores(parameters, points)
    levels = (scores >= parameters.hidden).astype(int) + (scores >= max(parameters.visible, parameters.hidden))
    return [
        Keypoints(
            points=tuple(
                Keypoint(name=name, x=float(x), y=float(y), visibility=_VISIBILITIES[level])
                for name, (x, y), level in zip(parameters.names, one, seen, strict=True)
            )
        )
        for one, seen in zip(within, levels, strict=True)
    ]


DECODER = Decoder(version=1, parameters=KeypointParameters, decode=decode)
