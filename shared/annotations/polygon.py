"""One or more rings with holes; the parts of one mask stay one polygon."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from shapely import MultiPolygon, box, make_valid
from shapely import Polygon as ShapelyPolygon
from shapely.geometry import GeometryCollection
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from shared.annotations.base import AnnotationValue, Canvas, FeatureType, Position, coordinate
from shared.annotations.point import Point

Ring = Annotated[tuple[Position, ...], Field(min_length=3, max_length=100_000)]


class PolygonPart(BaseModel):
    """Rings are not closed; the exterior runs clockwise on screen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exterior: Ring
    holes: tuple[Ring, ...] = ()


class Polygon(AnnotationValue):
    kind: Literal["polygon"] = "polygon"
    parts: tuple[PolygonPart, ...] = Field(min_length=1, max_length=10_000)

    taken_by: ClassVar[FeatureType | None] = FeatureType.POLYGON
    becomes: ClassVar[Mapping[FeatureType, str]] = {
        FeatureType.BOUNDING_BOX: "keeps only the outline's bounds",
        FeatureType.POINT: "keeps only the centre of the area",
    }
    alike_from: ClassVar[float] = 0.5
    touching_from: ClassVar[float] = 0.5

    def area(self) -> float:
        return float(self.geometry().area)

    def clip(self, canvas: Canvas) -> Self | None:
        inside = self.geometry().intersection(box(0, 0, canvas.width, canvas.height))
        parts = parts_of(inside)
        return self.model_copy(update={"parts": parts}) if parts else None

    def is_within(self, canvas: Canvas) -> bool:
        return all(canvas.has(x, y) for part in self.parts for x, y in part.exterior)

    def likeness(self, other: AnnotationValue) -> float:
        if not isinstance(other, Polygon):
            return 0.0
        one, another = self.outline, other.outline
        common = one.intersection(another).area if one.intersects(another) else 0.0
        return float(common / (one.area + another.area - common)) if common else 0.0

    @cached_property
    def outline(self) -> BaseGeometry:
        """`geometry`, for those who ask often."""
        return self.geometry()

    def convert(self, target: FeatureType) -> AnnotationValue | None:
        if target == FeatureType.BOUNDING_BOX:
            from shared.annotations.bounding_box import bounds_of  # noqa: PLC0415 - each kind converts to the other

            return bounds_of(*self.geometry().bounds)
        if target == FeatureType.POINT:
            centre = self.geometry().centroid
            return None if centre.is_empty else Point(x=coordinate(centre.x), y=coordinate(centre.y))
        return super().convert(target)

    def geometry(self) -> BaseGeometry:
        """Valid shapely areas; self-intersections are common in hand-drawn rings, and what collapses to a line goes."""
        drawn = MultiPolygon([ShapelyPolygon(part.exterior, part.holes) for part in self.parts])
        with np.errstate(all="ignore"):  # two corners that are nearly one divide by nearly nothing
            return make_valid(drawn, method="structure", keep_collapsed=False)


def parts_of(geometry: BaseGeometry) -> tuple[PolygonPart, ...]:
    """The areas of a geometry, each exterior clockwise on screen; what has no area is left out."""
    if isinstance(geometry, ShapelyPolygon):
        # y points down, so clockwise on screen is counter-clockwise in shapely's axes: positive sign.
        turned = orient(geometry, sign=1.0)
        if turned.is_empty:
            return ()
        holes = tuple(tuple(ring.coords)[:-1] for ring in turned.interiors)
        return (PolygonPart(exterior=tuple(turned.exterior.coords)[:-1], holes=holes),)
    if isinstance(geometry, MultiPolygon | GeometryCollection):
        return tuple(part for member in geometry.geoms for part in parts_of(member))
    return ()
