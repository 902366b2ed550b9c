"""Annotations as CVAT 1.1 has them in XML: pixels, corners of boxes, points with `;` between, masks cut to size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from services.api.exchange.formats.base import Refused
from services.api.exchange.geometry.rasters import Cut, cut_out, pasted, rasterised
from services.api.exchange.geometry.rings import clockwise
from services.api.exchange.losses import Losses
from services.api.exchange.numbers import number, whole_number
from services.api.exchange.rows import RowFacts
from shared.annotations import (
    Annotation,
    AnnotationValue,
    BoundingBox,
    Keypoint,
    Keypoints,
    Mask,
    Point,
    Polygon,
    PolygonPart,
    Polyline,
)
from shared.bitmaps import TooLarge, bitmap_of, from_row_runs, mask_of, row_runs

LOSSES: Mapping[str, str] = {
    "holes_rasterised": "polygons have no holes: the area is written as a mask",
    "holes_filled": "polygons have no holes, and without the size of the picture it cannot be written as a mask",
    "parts_apart": "a polygon of several parts became several polygons",
    "nothing_drawn": "a mask without a pixel, or one too large to be drawn, has no place",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """An element: its name, its attributes, and the elements of a skeleton."""

    tag: str
    attributes: Mapping[str, str]
    parts: Sequence["Shape"] = ()


def written(annotation: Annotation, row: RowFacts, losses: Losses) -> list[Shape]:
    return _written(annotation, row, losses)


@singledispatch
def _written(annotation: AnnotationValue, row: RowFacts, losses: Losses) -> list[Shape]:
    raise KeyError(type(annotation))


@_written.register
def _(annotation: BoundingBox, row: RowFacts, losses: Losses) -> list[Shape]:
    right, bottom = annotation.left + annotation.width, annotation.top + annotation.height
    corners = {"xtl": annotation.left, "ytl": annotation.top, "xbr": right, "ybr": bottom}
    found = {name: repr(float(value)) for name, value in corners.items()}
    if annotation.rotation:
        found["rotation"] = repr(annotation.rotation % 360)
    return [Shape("box", found)]


@_written.register
def _(annotation: Polygon, row: RowFacts, losses: Losses) -> list[Shape]:
    if any(part.holes for part in annotation.parts):
        if row.height and row.width:
            try:
                drawn = mask_of(rasterised(annotation, row.height, row.width))
            except TooLarge:
                pass
            else:
                losses.count("polygon", "holes_rasterised")
                return _written(drawn, row, losses)
        losses.count("polygon", "holes_filled")
    if len(annotation.parts) > 1:
        losses.count("polygon", "parts_apart")
    return [Shape("polygon", {"points": _points(part.exterior)}) for part in annotation.parts]


@_written.register
def _(annotation: Polyline, row: RowFacts, losses: Losses) -> list[Shape]:
    return [Shape("polyline", {"points": _points(annotation.points)})]


@_written.register
def _(annotation: Point, row: RowFacts, losses: Losses) -> list[Shape]:
    return [Shape("points", {"points": _points([(annotation.x, annotation.y)])})]


@_written.register
def _(annotation: Keypoints, row: RowFacts, losses: Losses) -> list[Shape]:
    parts = [
        Shape(
            "points",
            {
                "label": point.name,
                "outside": str(int(point.visibility == 0)),
                "occluded": str(int(point.visibility == 1)),
                "points": _points([(point.x, point.y)]),
            },
        )
        for point in annotation.points
    ]
    return [Shape("skeleton", {}, parts)]


@_written.register
def _(annotation: Mask, row: RowFacts, losses: Losses) -> list[Shape]:
    try:
        cut = cut_out(bitmap_of(annotation))
    except TooLarge:
        cut = None
    if cut is None:
        losses.count("mask", "nothing_drawn")
        return []
    height, width = cut.pixels.shape
    places = {"left": cut.left, "top": cut.top, "width": width, "height": height}
    runs = ", ".join(str(run) for run in row_runs(cut.pixels))
    return [Shape("mask", {"rle": runs, **{name: str(value) for name, value in places.items()}})]


def _points(points: Sequence[tuple[float, float]]) -> str:
    return ";".join(f"{float(x)!r},{float(y)!r}" for x, y in points)


def read(shape: Shape, row: RowFacts) -> Annotation:
    """Raises Refused, or pydantic's ValidationError."""
    reader = READERS.get(shape.tag)
    if reader is None:
        raise Refused("kind_not_held", f"elements <{shape.tag[:50]}> are not taken")
    return reader(shape, row)


def _read_box(shape: Shape, row: RowFacts) -> Annotation:
    left, top, right, bottom = (_number(shape, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    rotation = number(shape.attributes["rotation"], "/rotation") % 360 if "rotation" in shape.attributes else 0
    return BoundingBox(left=left, top=top, width=right - left, height=bottom - top, rotation=rotation or None)


def _read_polygon(shape: Shape, row: RowFacts) -> Annotation:
    return Polygon(parts=(PolygonPart(exterior=clockwise(_places(shape))),))


def _read_polyline(shape: Shape, row: RowFacts) -> Annotation:
    return Polyline(points=tuple(_places(shape)))


def _read_points(shape: Shape, row: RowFacts) -> Annotation:
    places = _places(shape)
    if len(places) > 1:
        # Without names of their own they are told apart by their order.
        return Keypoints(points=tuple(Keypoint(name=str(n), x=x, y=y) for n, (x, y) in enumerate(places, 1)))
    return Point(x=places[0][0], y=places[0][1])


def _read_skeleton(shape: Shape, row: RowFacts) -> Annotation:
    points = []
    for part in shape.parts:
        (x, y), *_ = _places(part)
        outside, occluded = part.attributes.get("outside") == "1", part.attributes.get("occluded") == "1"
        seen: Any = 0 if outside else 1 if occluded else 2
        points.append(Keypoint(name=part.attributes.get("label", ""), x=x, y=y, visibility=seen))
    return Keypoints(points=tuple(points))


def _read_mask(shape: Shape, row: RowFacts) -> Annotation:
    if not row.height or not row.width:
        raise Refused("size_unknown", "a mask is placed only when the picture's size is known")
    left, top, width, height = (
        whole_number(shape.attributes.get(name), f"/{name}") for name in ("left", "top", "width", "height")
    )
    runs = [whole_number(run, "/rle") for run in shape.attributes.get("rle", "").split(",")]
    try:
        pixels = from_row_runs(runs, height, width)
        return mask_of(pasted(Cut(left, top, pixels), row.height, row.width))
    except ValueError as error:
        raise Refused("not_a_mask", str(error)[:300], "/rle") from error


READERS = {
    "box": _read_box,
    "polygon": _read_polygon,
    "polyline": _read_polyline,
    "points": _read_points,
    "skeleton": _read_skeleton,
    "mask": _read_mask,
}


def _number(shape: Shape, name: str) -> float:
    return number(shape.attributes.get(name), f"/{name}")


def _places(shape: Shape) -> list[tuple[float, float]]:
    found = []
    for place in shape.attributes.get("points", "").split(";"):
        words = place.split(",")
        if len(words) != 2:  # noqa: PLR2004
            raise Refused("odd_coordinates", "points are x,y with ; between", "/points")
        found.append((number(words[0], "/points"), number(words[1], "/points")))
    return found
