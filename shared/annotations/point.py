"""One place in the image."""

from typing import ClassVar, Literal, Self

from shared.annotations.base import AnnotationValue, Canvas, Coordinate, FeatureType


class Point(AnnotationValue):
    kind: Literal["point"] = "point"
    x: Coordinate
    y: Coordinate

    taken_by: ClassVar[FeatureType | None] = FeatureType.POINT

    def clip(self, canvas: Canvas) -> Self | None:
        return self if 0 <= self.x <= canvas.width and 0 <= self.y <= canvas.height else None

    def is_within(self, canvas: Canvas) -> bool:
        return canvas.has(self.x, self.y)
