"""An open line."""

from typing import ClassVar, Literal

from pydantic import Field

from shared.annotations.base import AnnotationValue, Canvas, FeatureType, Position


class Polyline(AnnotationValue):
    kind: Literal["polyline"] = "polyline"
    points: tuple[Position, ...] = Field(min_length=2, max_length=100_000)

    taken_by: ClassVar[FeatureType | None] = FeatureType.POLYLINE

    def is_within(self, canvas: Canvas) -> bool:
        return all(canvas.has(x, y) for x, y in self.points)
