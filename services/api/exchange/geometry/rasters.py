"""Pixels of pictures: the part that a mask covers, and what a polygon covers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco

from services.api.exchange.formats.base import Refused
from services.api.exchange.geometry.rings import flat
from services.api.exchange.rows import RowFacts
from shared.annotations import Canvas, Mask, Polygon
from shared.bitmaps import Bitmap, bitmap_of, check_size


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a picture that holds all pixels of a mask, 0 and 1."""

    left: int
    top: int
    pixels: Bitmap


def cut_out(bitmap: Bitmap) -> Cut | None:
    """None for a mask without a pixel."""
    rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    return Cut(left, top, bitmap[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1])


def pasted(cut: Cut, height: int, width: int) -> Bitmap:
    """The whole picture; what lies outside of it is lost. Raises TooLarge."""
    check_size(height, width)
    whole = np.zeros((height, width), np.uint8)
    top, left = max(cut.top, 0), max(cut.left, 0)
    inside = cut.pixels[top - cut.top : max(height - cut.top, 0), left - cut.left : max(width - cut.left, 0)]
    whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return whole


def rasterised(polygon: Polygon, height: int, width: int) -> Bitmap:
    """The pixels of its parts without their holes, by COCO's own rule. Raises TooLarge."""
    check_size(height, width)
    whole = np.zeros((height, width), np.uint8)
    inside = polygon.clip(Canvas(width=width, height=height))
    for part in inside.parts if inside else ():
        drawn = _drawn(part.exterior, height, width)
        for hole in part.holes:
            drawn &= 1 - _drawn(hole, height, width)
        whole |= drawn
    return whole


def _drawn(ring: Sequence[tuple[float, float]], height: int, width: int) -> Bitmap:
    (drawn,) = coco.frPyObjects([flat(ring)], height, width)
    return bitmap_of(Mask(size=(height, width), counts=drawn["counts"].decode()))


def check_same_size(mask: Mask, row: RowFacts, pointer: str) -> None:
    """Raises Refused for a mask of another picture's size; it would lie elsewhere."""
    if row.height is not None and row.width is not None and mask.size != (row.height, row.width):
        height, width = mask.size
        detail = f"the mask is one of {width} x {height} pixels, the picture has {row.width} x {row.height}"
        raise Refused("size_differs", detail, pointer)
