"""An upright or rotated box."""

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.annotations.base import (
    FARTHEST,
    NO_LOSS,
    AnnotationValue,
    Canvas,
    Coordinate,
    Extent,
    FeatureType,
    coordinate,
)
from shared.annotations.point import Point
from shared.annotations.polygon import Polygon, PolygonPart

_ROUNDING = 1e-6


class BoundingBox(AnnotationValue):
    """`rotation` in degrees, clockwise about the centre."""

    kind: Literal["bounding_box"] = "bounding_box"
    left: Coordinate
    top: Coordinate
    width: Extent
    height: Extent
    rotation: float | None = Field(default=None, allow_inf_nan=False, ge=-360, le=360)

    taken_by: ClassVar[FeatureType | None] = FeatureType.BOUNDING_BOX
    becomes: ClassVar[Mapping[FeatureType, str]] = {
        FeatureType.POLYGON: NO_LOSS,
        FeatureType.POINT: "keeps only the centre",
    }
    alike_from: ClassVar[float] = 0.5
    touching_from: ClassVar[float] = 0.5

    @model_validator(mode="after")
    def _corners_are_coordinates(self) -> Self:
        # A box is to become a polygon without a further look.
        if not self.rotation:  # left and top are coordinates already
            is_far = max(self.left + self.width, self.top + self.height) > FARTHEST + _ROUNDING
        else:
            is_far = any(abs(value) > FARTHEST + _ROUNDING for corner in self._corners() for value in corner)
        if is_far:
            raise ValueError("a corner lies too far away")
        return self

    def area(self) -> float:
        return self.width * self.height

    def clip(self, canvas: Canvas) -> Self | None:
        if self.rotation:  # a cut rotated box is no box any more
            return self if self._as_polygon().clip(canvas) else None
        left, top = max(self.left, 0.0), max(self.top, 0.0)
        right, bottom = (
            min(self.left + self.width, canvas.width),
            min(self.top + self.height, canvas.height),
        )
        if right <= left or bottom <= top:
            return None
        return self.model_copy(
            update={
                "left": left,
                "top": top,
                "width": right - left,
                "height": bottom - top,
            }
        )

    def is_within(self, canvas: Canvas) -> bool:
        if self.rotation:  # it may stick out: a cut rotated box is no box any more
            return self.clip(canvas) is not None
        return all(canvas.has(x, y) for x, y in self._corners())

    def likeness(self, other: AnnotationValue) -> float:
        if not isinstance(other, BoundingBox):
            return 0.0
        if self.rotation or other.rotation:
            return self._as_polygon().likeness(other._as_polygon())
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        common = width * height
        if width <= 0 or height <= 0 or not common:  # which is zero for boxes too small for a float
            return 0.0
        return common / (self.area() + other.area() - common)

    def convert(self, target: FeatureType) -> AnnotationValue | None:
        if target == FeatureType.POLYGON:
            return self._as_polygon()
        if target == FeatureType.POINT:
            return Point(x=coordinate(self.left + self.width / 2), y=coordinate(self.top + self.height / 2))
        return super().convert(target)

    def corners(self) -> tuple[tuple[float, float], ...]:
        """The four corners, clockwise on screen from the (unrotated) top left."""
        return tuple((coordinate(x), coordinate(y)) for x, y in self._corners())

    def _as_polygon(self) -> Polygon:
        return Polygon(parts=(PolygonPart(exterior=self.corners()),))

    def _corners(self) -> Iterator[tuple[float, float]]:
        middle_x, middle_y = self.left + self.width / 2, self.top + self.height / 2
        angle = math.radians(self.rotation or 0)
        cos, sin = math.cos(angle), math.sin(angle)
        half_width, half_height = self.width / 2, self.height / 2
        offsets = (
            (-half_width, -half_height),
            (half_width, -half_height),
            (half_width, half_height),
            (-half_width, half_height),
        )
        return ((middle_x + x * cos - y * sin, middle_y + x * sin + y * cos) for x, y in offsets)


def bounds_of(left: float, top: float, right: float, bottom: float) -> BoundingBox | None:
    """None for what has no extent, and for NaN."""
    if not (right > left and bottom > top):
        return None
    return BoundingBox(left=left, top=top, width=right - left, height=bottom - top)
