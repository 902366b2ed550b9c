"""Annotations as values of Label Studio's regions, and back.

Pictures are measured in percent of the EXIF-oriented picture. A box turns clockwise about its own top left corner, and
`x`, `y` are that corner. Texts are measured in code points, half-open. To add a kind: write and register both ways.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from pydantic import ValidationError

from shared.annotations import (
    Annotation,
    AnnotationValue,
    BoundingBox,
    Mask,
    Point,
    Polygon,
    PolygonPart,
    Polyline,
    TextEntity,
)
from shared.bitmaps import Bitmap, bitmap_of, mask_of
from shared.label_studio import brush_rle
from shared.label_studio.turned_boxes import box_at_corner, corner_of

_POINT_SIZE = 0.5
"""How large an editor draws a point, in percent; it means nothing."""
CONTROLS: Mapping[str, str] = {
    "bounding_box": "RectangleLabels",
    "polygon": "PolygonLabels",
    "polyline": "VectorLabels",
    "point": "KeyPointLabels",
    "mask": "BrushLabels",
    "text_entity": "Labels",
}
"""The control of a labeling configuration by the feature type whose annotations it draws."""


class NoRegion(ValueError):
    """Why something cannot be written as a region, or read from one."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What positions are relative to: a picture's size in pixels, or a text."""

    width: int | None = None
    height: int | None = None
    text: str | None = None

    def percent(self, x: float, y: float) -> tuple[float, float]:
        width, height = self.size()
        return x / width * 100, y / height * 100

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        width, height = self.size()
        return x * width / 100, y * height / 100

    def size(self) -> tuple[int, int]:
        if not self.width or not self.height:
            raise NoRegion("the size of the picture is not known")
        return self.width, self.height


Region = tuple[str, dict[str, Any]]
"""The type and the value, without its labels."""


def written(annotation: Annotation, frame: Frame) -> list[Region]:
    """Several where one region cannot hold it. Raises NoRegion."""
    return _written(annotation, frame)


@singledispatch
def _written(annotation: AnnotationValue, frame: Frame) -> list[Region]:
    del frame
    raise NoRegion(f"Label Studio has no region for {type(annotation).__name__}")


@_written.register
def _(annotation: BoundingBox, frame: Frame) -> list[Region]:
    x, y = frame.percent(*corner_of(annotation))
    width, height = frame.percent(annotation.width, annotation.height)
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": (annotation.rotation or 0) % 360}
    return [("rectanglelabels", value)]


@_written.register
def _(annotation: Polygon, frame: Frame) -> list[Region]:
    """One a part; holes are filled."""
    rings = [[list(frame.percent(x, y)) for x, y in part.exterior] for part in annotation.parts]
    return [("polygonlabels", {"points": ring, "closed": True}) for ring in rings]


@_written.register
def _(annotation: Polyline, frame: Frame) -> list[Region]:
    places = [frame.percent(x, y) for x, y in annotation.points]
    vertices = [
        {"x": x, "y": y, "id": f"v{place}", "prevPointId": f"v{place - 1}" if place else None, "isBezier": False}
        for place, (x, y) in enumerate(places)
    ]
    return [("vectorlabels", {"vertices": vertices, "closed": False})]


@_written.register
def _(annotation: Point, frame: Frame) -> list[Region]:
    x, y = frame.percent(annotation.x, annotation.y)
    return [("keypointlabels", {"x": x, "y": y, "width": _POINT_SIZE})]


@_written.register
def _(annotation: Mask, frame: Frame) -> list[Region]:
    width, height = frame.size()
    if annotation.size != (height, width):
        raise NoRegion("the mask is one of a picture of another size")
    return [("brushlabels", {"format": "rle", "rle": brush_rle.encode(_bitmap(annotation))})]


@_written.register
def _(annotation: TextEntity, frame: Frame) -> list[Region]:
    value: dict[str, Any] = {"start": annotation.start, "end": annotation.end}
    if frame.text is not None:
        value["text"] = frame.text[annotation.start : annotation.end]
    return [("labels", value)]


def _bitmap(mask: Mask) -> Bitmap:
    try:
        return bitmap_of(mask)
    except ValueError as error:
        raise NoRegion(str(error)) from error


def read(kind: str, value: Mapping[str, Any], frame: Frame) -> Annotation:
    """Of a region's type and value. Raises NoRegion."""
    reader = READERS.get(kind)
    if reader is None:
        raise NoRegion(f"regions of type {kind[:100]!r} are not taken")
    try:
        return reader(value, frame)
    except NoRegion:
        raise
    except ValidationError as error:
        raise NoRegion(str(error.errors()[0]["msg"])[:300]) from error
    except KeyError as error:
        raise NoRegion(f"the value has no {error.args[0]!r}") from error
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise NoRegion(f"the value is not one of {kind}: {str(error)[:200]}") from error


def _read_box(value: Mapping[str, Any], frame: Frame) -> Annotation:
    corner = frame.pixels(float(value["x"]), float(value["y"]))
    width, height = frame.pixels(float(value["width"]), float(value["height"]))
    return box_at_corner(corner, width, height, float(value.get("rotation") or 0))


def _read_polygon(value: Mapping[str, Any], frame: Frame) -> Annotation:
    ring = tuple(frame.pixels(float(x), float(y)) for x, y in value["points"])
    return Polygon(parts=(PolygonPart(exterior=_clockwise(ring)),))


def _read_vector(value: Mapping[str, Any], frame: Frame) -> Annotation:
    places = tuple(frame.pixels(float(one["x"]), float(one["y"])) for one in value["vertices"])
    if value.get("closed"):
        return Polygon(parts=(PolygonPart(exterior=_clockwise(places)),))
    return Polyline(points=places)


def _read_point(value: Mapping[str, Any], frame: Frame) -> Annotation:
    x, y = frame.pixels(float(value["x"]), float(value["y"]))
    return Point(x=x, y=y)


def _read_brush(value: Mapping[str, Any], frame: Frame) -> Annotation:
    if value.get("format") != "rle":
        raise NoRegion("a brush is taken as rle only")
    width, height = frame.size()
    return mask_of(brush_rle.decode(value["rle"], height, width))


def _read_span(value: Mapping[str, Any], frame: Frame) -> Annotation:
    found = TextEntity(start=int(value["start"]), end=int(value["end"]))
    if frame.text is not None and found.end > len(frame.text):
        raise NoRegion(f"the span ends at {found.end}, behind the text's {len(frame.text)} code points")
    return found


def _clockwise(ring: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    following = [*ring[1:], *ring[:1]]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, following, strict=True))
    # With y downwards a positive area runs clockwise on screen.
    return tuple(ring) if area >= 0 else tuple(ring)[::-1]


READERS: Mapping[str, Callable[[Mapping[str, Any], Frame], Annotation]] = {
    "rectanglelabels": _read_box,
    "polygonlabels": _read_polygon,
    "vectorlabels": _read_vector,
    "keypointlabels": _read_point,
    "brushlabels": _read_brush,
    "labels": _read_span,
}
