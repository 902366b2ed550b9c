"""Annotations as COCO writes them: pixels, boxes as x, y, width, height, areas as polygons or column-major runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from services.api.exchange.formats.base import Refused
from services.api.exchange.geometry.rasters import check_same_size, rasterised
from services.api.exchange.geometry.rings import clockwise, flat
from services.api.exchange.losses import Losses
from services.api.exchange.numbers import array, number, numbers, pairs, whole_number
from services.api.exchange.rows import RowFacts
from shared.annotations import (
    Annotation,
    AnnotationValue,
    BoundingBox,
    FeatureType,
    Keypoint,
    Keypoints,
    Mask,
    Point,
    Polygon,
    PolygonPart,
)
from shared.bitmaps import TooLarge, from_column_runs, mask_of

POINT_NAME = "point"
"""What the one keypoint of a point is called."""
LOSSES: Mapping[str, str] = {
    "holes_rasterised": "COCO polygons have no holes: the area is written as pixels (RLE)",
    "holes_filled": "COCO polygons have no holes, and without the size of the picture it cannot be written as pixels",
    "mask_drawn_from_polygon": "a polygon became the pixels inside it",
    "outline_of_pixels": "pixels became their outline; specks and up to 1.5 pixels of a long outline are lost",
}


@dataclass(frozen=True, slots=True)
class _Writing:
    row: RowFacts
    losses: Losses


def written(annotation: Annotation, row: RowFacts, losses: Losses) -> dict[str, Any]:
    """`bbox` and `area`, with `segmentation` or the named `keypoints`. KeyError for a kind that COCO does not hold."""
    return _written(annotation, _Writing(row, losses))


@singledispatch
def _written(annotation: AnnotationValue, writing: _Writing) -> dict[str, Any]:
    raise KeyError(type(annotation))


@_written.register
def _box(annotation: BoundingBox, writing: _Writing) -> dict[str, Any]:
    del writing
    area = annotation.area()
    if not annotation.rotation:
        return {"bbox": [annotation.left, annotation.top, annotation.width, annotation.height], "area": area}
    # The upright bounds for all who know no turned boxes, and the corners from the unturned top left on.
    corners = annotation.corners()
    return {
        "bbox": _bounds([corners]),
        "area": area,
        "segmentation": [flat(corners)],
        "rotation": annotation.rotation,
    }


@_written.register
def _polygon(annotation: Polygon, writing: _Writing) -> dict[str, Any]:
    rings = [part.exterior for part in annotation.parts]
    found = {"bbox": _bounds(rings), "area": annotation.area()}
    if any(part.holes for part in annotation.parts):
        pixels = _pixels(annotation, writing.row)
        if pixels is not None:
            writing.losses.count("polygon", "holes_rasterised")
            return {**found, "segmentation": _runs(pixels)}
        writing.losses.count("polygon", "holes_filled")
    return {**found, "segmentation": [flat(ring) for ring in rings]}


@_written.register
def _mask(annotation: Mask, writing: _Writing) -> dict[str, Any]:
    del writing
    bounds = annotation.convert(FeatureType.BOUNDING_BOX)
    box = [bounds.left, bounds.top, bounds.width, bounds.height] if isinstance(bounds, BoundingBox) else [0, 0, 0, 0]
    return {"bbox": box, "area": annotation.area(), "segmentation": _runs(annotation)}


@_written.register
def _point(annotation: Point, writing: _Writing) -> dict[str, Any]:
    return _written(Keypoints(points=(Keypoint(name=POINT_NAME, x=annotation.x, y=annotation.y),)), writing)


@_written.register
def _keypoints(annotation: Keypoints, writing: _Writing) -> dict[str, Any]:
    del writing
    placed = [(point.x, point.y) for point in annotation.points if point.visibility]
    bounds = _bounds([placed]) if placed else [0.0, 0.0, 0.0, 0.0]
    return {"bbox": bounds, "area": bounds[2] * bounds[3], "num_keypoints": len(placed), "keypoints": annotation.points}


def _pixels(polygon: Polygon, row: RowFacts) -> Mask | None:
    if row.height is None or row.width is None:
        return None
    try:
        return mask_of(rasterised(polygon, row.height, row.width))
    except TooLarge:
        return None


def _runs(mask: Mask) -> dict[str, Any]:
    return {"size": list(mask.size), "counts": mask.counts}


def _bounds(rings: Sequence[Sequence[tuple[float, float]]]) -> list[float]:
    xs, ys = zip(*(position for ring in rings for position in ring), strict=True)
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


@dataclass(frozen=True, slots=True)
class Reading:
    """`wanted` is what the feature takes; a prediction may be anything else, which its alignment then converts."""

    raw: Mapping[str, Any]
    wanted: FeatureType | None
    is_prediction: bool
    keypoint_names: Sequence[str]
    row: RowFacts
    losses: Losses


def read(reading: Reading) -> Annotation:
    """The geometry that is wanted, or the fullest there is. Raises Refused, or pydantic's ValidationError."""
    shapes = [*(_READERS.get(reading.wanted, ()) if reading.wanted else ())]
    if reading.is_prediction or not reading.wanted:
        shapes += _FULLEST
    for key, reader in shapes:
        if reading.raw.get(key):
            return reader(reading.raw[key], reading)
    if not shapes:
        raise Refused("kind_not_held", f"COCO has nothing for a {reading.wanted}")
    raise Refused("geometry_missing", f"this needs {' or '.join(key for key, _ in shapes)}")


def _read_box(value: Any, reading: Reading) -> Annotation:
    if (turned := _turned_box(reading.raw)) is not None:
        return turned
    sides = numbers(value, "/bbox")
    if len(sides) != 4:  # noqa: PLR2004
        raise Refused("not_a_box", "a box is x, y, width and height", "/bbox")
    left, top, width, height = sides
    return BoundingBox(left=left, top=top, width=width, height=height, rotation=_rotation_by_cvat(reading.raw))


def _turned_box(raw: Mapping[str, Any]) -> BoundingBox | None:
    """From the corners, as we write them: `bbox` has the upright bounds only."""
    rings = raw.get("segmentation")
    if not raw.get("rotation") or not isinstance(rings, list) or len(rings) != 1:
        return None
    corners = pairs(numbers(rings[0], "/segmentation/0"), "/segmentation/0")
    if len(corners) != 4:  # noqa: PLR2004
        return None
    middle_x, middle_y = (sum(values) / 4 for values in zip(*corners, strict=True))
    width, height = math.dist(corners[0], corners[1]), math.dist(corners[1], corners[2])
    rotation = number(raw["rotation"], "/rotation")
    left, top = middle_x - width / 2, middle_y - height / 2
    return BoundingBox(left=left, top=top, width=width, height=height, rotation=rotation)


def _rotation_by_cvat(raw: Mapping[str, Any]) -> float | None:
    """CVAT writes the unturned box, no segmentation, and the angle as a number among the attributes."""
    attributes = raw.get("attributes")
    found = attributes.get("rotation") if isinstance(attributes, dict) and not raw.get("segmentation") else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return math.remainder(found, 360) or None


def _read_polygon(value: Any, reading: Reading) -> Annotation:
    if isinstance(value, dict):
        reading.losses.count("polygon", "outline_of_pixels")
        found = _mask_from(value, reading.row).convert(FeatureType.POLYGON)
        if not isinstance(found, Polygon):
            raise Refused("nothing_drawn", "the mask has no outline", "/segmentation")
        return found
    return _polygon_from(value)


def _read_mask(value: Any, reading: Reading) -> Annotation:
    if isinstance(value, dict):
        return _mask_from(value, reading.row)
    row = reading.row
    if row.height is None or row.width is None:
        raise Refused("size_unknown", "a polygon becomes a mask only when the picture's size is known", "/segmentation")
    reading.losses.count("mask", "mask_drawn_from_polygon")
    return mask_of(rasterised(_polygon_from(value), row.height, row.width))


def _read_area(value: Any, reading: Reading) -> Annotation:
    return _mask_from(value, reading.row) if isinstance(value, dict) else _polygon_from(value)


def _polygon_from(value: Any) -> Polygon:
    parts = []
    for place, ring in enumerate(array(value, "/segmentation")):
        pointer = f"/segmentation/{place}"
        positions = clockwise(pairs(numbers(ring, pointer), pointer))
        parts.append(PolygonPart(exterior=positions))
    return Polygon(parts=tuple(parts))


def _mask_from(value: Mapping[str, Any], row: RowFacts) -> Mask:
    size = [whole_number(one, "/segmentation/size") for one in array(value.get("size"), "/segmentation/size")]
    if len(size) != 2:  # noqa: PLR2004
        raise Refused("not_a_size", "a size is height and width", "/segmentation/size")
    mask = _mask_of_counts(value.get("counts"), size[0], size[1])
    check_same_size(mask, row, "/segmentation/size")
    return mask


def _mask_of_counts(counts: Any, height: int, width: int) -> Mask:
    if isinstance(counts, str):
        return Mask(size=(height, width), counts=counts)
    runs = [whole_number(one, "/segmentation/counts") for one in array(counts, "/segmentation/counts")]
    try:
        return mask_of(from_column_runs(runs, height, width))
    except ValueError as error:
        raise Refused("not_a_mask", str(error), "/segmentation/counts") from error


def _read_keypoints(value: Any, reading: Reading) -> Annotation:
    flat_values = numbers(value, "/keypoints")
    names = reading.keypoint_names
    if len(flat_values) % 3 or len(flat_values) > 3 * len(names):
        detail = f"keypoints are x, y and visibility of each of the category's {len(names)} names"
        raise Refused("not_keypoints", detail, "/keypoints")
    triples = zip(flat_values[0::3], flat_values[1::3], flat_values[2::3], strict=True)
    points = tuple(
        Keypoint(name=name, x=x, y=y, visibility=_visibility(shown))
        for name, (x, y, shown) in zip(names, triples, strict=False)
        if x or y or shown  # as COCO writes one that is not there
    )
    if not points:
        raise Refused("nothing_drawn", "no keypoint is labeled", "/keypoints")
    return Keypoints(points=points)


def _read_point(value: Any, reading: Reading) -> Annotation:
    """A point as we write it; of others' keypoints their names are kept."""
    found = _read_keypoints(value, reading)
    if isinstance(found, Keypoints) and [point.name for point in found.points] == [POINT_NAME]:
        return Point(x=found.points[0].x, y=found.points[0].y)
    return found


def _visibility(value: float) -> Any:
    if value not in {0, 1, 2}:
        raise Refused("not_a_visibility", "a visibility is 0, 1 or 2", "/keypoints")
    return int(value)


_Shapes = Sequence[tuple[str, Callable[[Any, Reading], Annotation]]]
_READERS: Mapping[FeatureType, _Shapes] = {
    FeatureType.BOUNDING_BOX: [("bbox", _read_box)],
    FeatureType.POLYGON: [("segmentation", _read_polygon)],
    FeatureType.MASK: [("segmentation", _read_mask)],
    FeatureType.POINT: [("keypoints", _read_point)],
}
_FULLEST: _Shapes = [("keypoints", _read_keypoints), ("segmentation", _read_area), ("bbox", _read_box)]
