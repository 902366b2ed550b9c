"""Annotations in shares of the picture, as YOLO's label files have them."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.api.exchange.formats.base import Refused
from services.api.exchange.geometry.rings import clockwise, flat
from services.api.exchange.losses import Losses
from services.api.exchange.numbers import confidence, number, pairs
from shared.annotations import Annotation, BoundingBox, FeatureType, Polygon, PolygonPart

LOSSES: Mapping[str, str] = {
    "without_a_size": "places are shares of the picture, and its size is not known",
    "turned_upright": "a turned box became its upright bounds",
    "only_bounds": "of an area only the bounds were kept; layout=segmentation keeps its outline",
    "box_as_polygon": "a box became a polygon of its corners",
    "outline_of_pixels": "pixels became their outline; specks and up to 1.5 pixels of a long outline are lost",
    "parts_apart": "an object of several parts became several objects",
    "holes_filled": "polygons have no holes",
}
_BOX, _WITH_CONFIDENCE = 4, 5
Size = tuple[int, int]
Ring = Sequence[tuple[float, float]]


def box(annotation: Annotation, losses: Losses) -> BoundingBox | None:
    """Upright. None for what has no extent."""
    if isinstance(annotation, BoundingBox):
        if not annotation.rotation:
            return annotation
        losses.count("bounding_box", "turned_upright")
        found = annotation.convert(FeatureType.POLYGON)
        annotation = found if isinstance(found, Polygon) else annotation
    else:
        losses.count(annotation.kind, "only_bounds")
    bounds = annotation.convert(FeatureType.BOUNDING_BOX)
    return bounds if isinstance(bounds, BoundingBox) else None


def rings(annotation: Annotation, losses: Losses) -> list[Ring]:
    if isinstance(annotation, BoundingBox):
        losses.count("bounding_box", "box_as_polygon")
        return [annotation.corners()]
    if not isinstance(annotation, Polygon):
        losses.count(annotation.kind, "outline_of_pixels")
    outline = annotation if isinstance(annotation, Polygon) else annotation.convert(FeatureType.POLYGON)
    if not isinstance(outline, Polygon):
        return []
    if len(outline.parts) > 1:
        losses.count(annotation.kind, "parts_apart")
    if any(part.holes for part in outline.parts):
        losses.count(annotation.kind, "holes_filled")
    return [part.exterior for part in outline.parts]


def centred(found: BoundingBox, size: Size) -> list[float]:
    width, height = size
    middle_x, middle_y = found.left + found.width / 2, found.top + found.height / 2
    return [middle_x / width, middle_y / height, found.width / width, found.height / height]


def shares(ring: Ring, size: Size) -> list[float]:
    return flat([(x / size[0], y / size[1]) for x, y in ring])


def line(place: int, values: Sequence[float]) -> str:
    """In as many digits as bring the number back."""
    return " ".join([str(place), *(format(value, ".17g") for value in values)])


def read(words: Sequence[str], size: Size, wanted: FeatureType | None) -> tuple[Annotation, float | None]:
    """A box of four numbers, five with its confidence, or the corners of a polygon. Raises Refused."""
    values = [number(word, "") for word in words]
    if len(values) in {_BOX, _WITH_CONFIDENCE}:
        sure = confidence(values[_BOX], "") if len(values) == _WITH_CONFIDENCE else None
        return _read_box(values, size), sure
    if len(values) < _BOX:
        raise Refused("not_a_box", "a line is a class and four numbers, or the corners of a polygon")
    sure = confidence(values.pop(), "") if len(values) % 2 else None
    ring = clockwise([(x * size[0], y * size[1]) for x, y in pairs(values, "")])
    polygon = Polygon(parts=(PolygonPart(exterior=ring),))
    upright = _upright(ring) if wanted is FeatureType.BOUNDING_BOX else None
    return upright or polygon, sure


def _read_box(values: Sequence[float], size: Size) -> BoundingBox:
    middle_x, middle_y, width, height = (values[place] * size[place % 2] for place in range(_BOX))
    return BoundingBox(left=middle_x - width / 2, top=middle_y - height / 2, width=width, height=height)


def _upright(ring: Sequence[tuple[float, float]]) -> Any:
    """A polygon that is an upright box, where one is wanted."""
    bounds = Polygon(parts=(PolygonPart(exterior=tuple(ring)),)).convert(FeatureType.BOUNDING_BOX)
    if not isinstance(bounds, BoundingBox):
        return None
    return bounds if len(ring) == _BOX and set(bounds.corners()) == set(ring) else None
