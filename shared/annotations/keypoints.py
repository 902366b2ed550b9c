"""Named points of one object, as a pose model gives them. No tool takes them as they are."""

from collections.abc import Mapping
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.annotations.base import AnnotationValue, Canvas, Coordinate, FeatureType
from shared.annotations.bounding_box import bounds_of
from shared.annotations.point import Point


class Keypoint(BaseModel):
    """`visibility` as in COCO: 0 not labeled, 1 hidden, 2 visible."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    x: Coordinate
    y: Coordinate
    visibility: Literal[0, 1, 2] = 2


class Keypoints(AnnotationValue):
    kind: Literal["keypoints"] = "keypoints"
    points: tuple[Keypoint, ...] = Field(min_length=1, max_length=1000)

    taken_by: ClassVar[FeatureType | None] = None
    becomes: ClassVar[Mapping[FeatureType, str]] = {
        FeatureType.BOUNDING_BOX: "keeps only the bounds of the points",
        FeatureType.POINT: "keeps only the middle of the points",
    }

    def is_within(self, canvas: Canvas) -> bool:
        return all(canvas.has(point.x, point.y) for point in self.points if point.visibility)

    def convert(self, target: FeatureType) -> AnnotationValue | None:
        placed = [point for point in self.points if point.visibility]
        if not placed:
            return None
        xs, ys = [point.x for point in placed], [point.y for point in placed]
        if target == FeatureType.POINT:
            return Point(x=fmean(xs), y=fmean(ys))
        if target == FeatureType.BOUNDING_BOX:
            return bounds_of(min(xs), min(ys), max(xs), max(ys))
        return None
