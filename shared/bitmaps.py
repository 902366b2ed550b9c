"""Masks as bitmaps and as runs: COCO's go down the columns, other tools' along the rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from shared.annotations import Mask

Bitmap = NDArray[np.uint8]
"""Height x width, 0 and 1."""
MOST_PIXELS = 2**26
"""A bitmap takes a byte a pixel; larger ones are refused rather than held."""


class TooLarge(ValueError):
    """The picture has too many pixels for a bitmap."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(f"a mask of {width} x {height} pixels is larger than {MOST_PIXELS} pixels")


def bitmap_of(mask: Mask) -> Bitmap:
    """Raises TooLarge."""
    return from_column_runs(mask.runs(), *mask.size)


def mask_of(bitmap: Bitmap) -> Mask:
    height, width = bitmap.shape
    counts: bytes = coco.encode(np.asfortranarray(bitmap))["counts"]
    return Mask(size=(height, width), counts=counts.decode())


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


def check_size(height: int, width: int) -> None:
    """Raises ValueError, TooLarge among them."""
    if height < 1 or width < 1:
        raise ValueError("height and width must be positive")
    if height * width > MOST_PIXELS:
        raise TooLarge(height, width)


def _filled(runs: Sequence[int], height: int, width: int) -> Bitmap:
    check_size(height, width)
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError("the runs do not add up to height x width")
    values = np.zeros(len(runs), np.uint8)
    values[1::2] = 1
    return np.repeat(values, np.asarray(runs, np.int64))
