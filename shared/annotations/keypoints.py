"""Named points of one object, as a pose model gives them. No tool takes them as they are."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.annotations.base import AnnotationValue, Coordinate, FeatureType


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
    becomes: ClassVar[frozenset[FeatureType]] = frozenset({FeatureType.POINT})

    def convert(self, target: FeatureType) -> AnnotationValue | None:
        if target == FeatureType.POINT and len(self.points) == 1:
            from shared.annotations.point import Point  # noqa: PLC0415 - only this conversion needs it

            return Point(x=self.points[0].x, y=self.points[0].y)
        return None
