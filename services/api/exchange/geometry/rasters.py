"""Masks as bitmaps and as row-major runs, which other formats write; COCO's own runs go down the columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco

from services.api.exchange import masks
from services.api.exchange.formats.base import Refused
from services.api.exchange.geometry.rings import flat
from services.api.exchange.rows import RowFacts
from shared.annotations import Canvas, Mask, Polygon

Bitmap = masks.Bitmap
MOST_PIXELS = 2**26
"""A bitmap takes a byte a pixel; larger ones are refused rather than held."""


class TooLarge(ValueError):
    """The picture has too many pixels for a bitmap."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(f"a mask of {width} x {height} pixels is larger than {MOST_PIXELS} pixels")


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a picture that holds all pixels of a mask, 0 and 1."""

    left: int
    top: int
    pixels: Bitmap


def bitmap_of(mask: Mask) -> Bitmap:
    """Height x width, 0 and 1. Raises TooLarge."""
    check_size(*mask.size)
    return masks.bitmap_of(mask)


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


def row_runs(bitmap: Bitmap) -> list[int]:
    """Lengths of runs along the rows, of zeros and ones in turn; the first, of zeros, may be empty."""
    pixels = bitmap.ravel()
    changes = np.flatnonzero(np.diff(pixels)) + 1
    runs: list[int] = np.diff([0, *changes.tolist(), pixels.size]).tolist()
    return [0, *runs] if pixels[0] else runs


def from_row_runs(runs: Sequence[int], height: int, width: int) -> Bitmap:
    """Raises ValueError when the runs do not fill the bitmap, TooLarge when it is too large."""
    return _filled(runs, height, width).reshape(height, width)


def from_column_runs(runs: Sequence[int], height: int, width: int) -> Bitmap:
    """As COCO writes them uncompressed. Raises like `from_row_runs`."""
    return _filled(runs, height, width).reshape(width, height).T


def _filled(runs: Sequence[int], height: int, width: int) -> Bitmap:
    check_size(height, width)
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError("the runs do not add up to height x width")
    values = np.zeros(len(runs), np.uint8)
    values[1::2] = 1
    return np.repeat(values, np.asarray(runs, np.int64))


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


def check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ValueError("height and width must be positive")
    if height * width > MOST_PIXELS:
        raise TooLarge(height, width)
