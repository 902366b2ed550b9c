"""Geometries as Labelbox writes them, by our kind and by their key."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from services.api.exchange.formats.base import Refused
from services.api.exchange.losses import Losses
from services.api.exchange.masks import mask_of_png, png_of
from shared.annotations import (
    Annotation,
    BoundingBox,
    Mask,
    Point,
    Polygon,
    PolygonPart,
    Polyline,
    TextEntity,
)

LOSSES: Mapping[str, str] = {
    "rotation_dropped": "a box has no rotation there: the upright box around the rotated one is written",
    "holes_filled": "a polygon has no holes there",
    "parts_apart": "a polygon has one ring there: each part is an annotation of its own",
}


@dataclass(frozen=True, slots=True)
class Value:
    """`write` gives one value for each annotation that Labelbox needs for it."""

    kind: str
    key: str
    write: Callable[[Any, Losses], Iterable[Any]]
    read: Callable[[Any], Annotation]


def read_value(value: Value, sent: Any) -> Annotation:
    """Raises Refused."""
    try:
        return value.read(sent)
    except ValidationError as error:
        detail = "; ".join(dict.fromkeys(one["msg"] for one in error.errors()))
        raise Refused("invalid_value", detail[:300], f"/{value.key}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Refused("invalid_value", f"this is no {value.key} as Labelbox writes it", f"/{value.key}") from error


def _write_box(box: BoundingBox, losses: Losses) -> Iterable[Any]:
    left, top, width, height = box.left, box.top, box.width, box.height
    if box.rotation:
        losses.count(box.kind, "rotation_dropped")
        xs, ys = zip(*box.corners(), strict=True)
        left, top, width, height = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    yield {"top": top, "left": left, "height": height, "width": width}


def _read_box(sent: Any) -> Annotation:
    return BoundingBox(left=sent["left"], top=sent["top"], width=sent["width"], height=sent["height"])


def _write_polygon(polygon: Polygon, losses: Losses) -> Iterable[Any]:
    holes = sum(len(part.holes) for part in polygon.parts)
    if holes:
        losses.count(polygon.kind, "holes_filled")
    if len(polygon.parts) > 1:
        losses.count(polygon.kind, "parts_apart")
    for part in polygon.parts:
        yield _points(part.exterior)


def _read_polygon(sent: Any) -> Annotation:
    ring = _positions(sent)
    # Some writers close their rings.
    return Polygon(parts=(PolygonPart(exterior=ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring),))


def _read_mask(sent: Any) -> Annotation:
    if "png" not in sent:
        raise Refused("mask_elsewhere", "a mask is taken as `png` in the line, not from another address", "/mask")
    try:
        content = base64.b64decode(sent["png"], validate=True)
    except binascii.Error as error:
        raise Refused("invalid_value", "`png` is not base64", "/mask/png") from error
    return mask_of_png(content)


def _write_mask(mask: Mask, losses: Losses) -> Iterable[Any]:
    del losses
    yield {"png": base64.b64encode(png_of(mask)).decode()}


def _read_entity(sent: Any) -> Annotation:
    return TextEntity(start=sent["start"], end=sent["end"] + 1)


def _points(positions: Iterable[tuple[float, float]]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in positions]


def _positions(sent: Any) -> tuple[tuple[float, float], ...]:
    return tuple((point["x"], point["y"]) for point in sent)


VALUES: tuple[Value, ...] = (
    Value("bounding_box", "bbox", _write_box, _read_box),
    Value("polygon", "polygon", _write_polygon, _read_polygon),
    Value(
        "polyline",
        "line",
        lambda line, _: [_points(line.points)],
        lambda sent: Polyline(points=_positions(sent)),
    ),
    Value(
        "point",
        "point",
        lambda point, _: [{"x": point.x, "y": point.y}],
        lambda sent: Point(x=sent["x"], y=sent["y"]),
    ),
    Value("mask", "mask", _write_mask, _read_mask),
    Value(
        "text_entity",
        "location",
        lambda entity, _: [{"start": entity.start, "end": entity.end - 1}],
        _read_entity,
    ),
)
