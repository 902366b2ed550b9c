"""From a model's coarse grid of scores to the pixels of the image, and from pixels to a mask."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pycocotools import mask as coco

from services.inference.inputs.placement import Placement
from services.inference.tensors import Array
from shared.annotations import Canvas, Mask

_TRACE = 1e-3
_NUMBERS_AT_ONCE = 2**22
"""Scores are sampled in strips of the image, so that a large one costs no more memory than a small one."""


@dataclass(frozen=True, slots=True)
class Region:
    """Whole pixels of the image, half-open."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of the image lie in a grid of scores: pixel (x, y) at (scale_x x + offset_x, ...), both counted
    from the middle of the first one on."""

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    @classmethod
    def of_frame(cls, placement: Placement, frame: tuple[int, int], shape: Sequence[int]) -> "Grid":
        """A grid of rows x columns that covers what the model saw."""
        per_x, per_y = shape[1] / frame[0], shape[0] / frame[1]
        scale_x, scale_y = placement.scale_x * per_x, placement.scale_y * per_y
        offset_x = placement.offset_x * per_x + scale_x / 2 - 0.5
        offset_y = placement.offset_y * per_y + scale_y / 2 - 0.5
        return cls(scale_x, scale_y, offset_x, offset_y)

    @classmethod
    def of_box(cls, corners: Array, shape: Sequence[int]) -> "Grid":
        """A grid that covers a box, given in image pixels."""
        left, top, right, bottom = (float(side) for side in corners)
        scale_x, scale_y = shape[1] / (right - left), shape[0] / (bottom - top)
        return cls(scale_x, scale_y, (0.5 - left) * scale_x - 0.5, (0.5 - top) * scale_y - 0.5)


def over_image(scores: Array, placement: Placement, frame: tuple[int, int]) -> tuple[Array, Grid]:
    """Of scores over what the model saw, K x rows x columns, the cells that lie on the image, and their grid.

    What a model says of a letterbox's ground must not shine into the edges of the image.
    """
    grid, (rows, columns) = Grid.of_frame(placement, frame, scores.shape[1:]), scores.shape[1:]
    left, right = _cells(grid.scale_x, grid.offset_x, placement.canvas.width, columns)
    top, bottom = _cells(grid.scale_y, grid.offset_y, placement.canvas.height, rows)
    moved = Grid(grid.scale_x, grid.scale_y, grid.offset_x - left, grid.offset_y - top)
    return scores[:, top:bottom, left:right], moved


def _cells(scale: float, offset: float, pixels: int, cells: int) -> tuple[int, int]:
    """The first cell with more than a trace of the image in it, and the one behind the last."""
    first, last = offset + 0.5 - scale / 2, offset + 0.5 + scale * (pixels - 0.5)
    start = min(max(0, math.floor(first + _TRACE)), cells - 1)
    return start, max(start + 1, min(cells, math.ceil(last - _TRACE)))


def seen(placement: Placement, frame: tuple[int, int]) -> Region:
    """The pixels whose middle the model saw: all of them, unless the image was cropped."""
    left, top = placement.to_image(0, 0)
    right, bottom = placement.to_image(*frame)
    return around(np.array([left + 0.5, top + 0.5, right - 0.5, bottom - 0.5]), placement.canvas)


def around(corners: Array, canvas: Canvas) -> Region:
    """The pixels that a box touches."""
    left, top = (max(0, int(np.floor(side))) for side in corners[:2])
    right, bottom = int(np.ceil(corners[2])), int(np.ceil(corners[3]))
    return Region(left, top, min(right, canvas.width), min(bottom, canvas.height))


def strips(scores: Array, grid: Grid, region: Region) -> Iterator[tuple[int, Array]]:
    """Scores, K x rows x columns FP32, at the pixels of the region, in strips: the first row, and K x rows x width.

    Between the middles of the grid's cells they are interpolated, beyond the last ones they stay as they are.
    """
    width = region.right - region.left
    if width <= 0:
        return
    height = max(1, _NUMBERS_AT_ONCE // (width * len(scores)))
    for top in range(region.top, region.bottom, height):
        rows = min(height, region.bottom - top)
        back = np.array(
            [
                [grid.scale_x, 0, grid.offset_x + region.left * grid.scale_x],
                [0, grid.scale_y, grid.offset_y + top * grid.scale_y],
            ]
        )
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        yield (
            top,
            np.stack(
                [cv2.warpAffine(one, back, (width, rows), flags=how, borderMode=cv2.BORDER_REPLICATE) for one in scores]
            ),
        )


def mask_of(pixels: Array, region: Region, canvas: Canvas) -> Mask | None:
    """Of the true ones among the region's pixels, rows x columns; None when there are none.

    Only the region is looked at: a small thing in a large image costs little.
    """
    height = region.bottom - region.top
    # A row of zeros below each column: no stroke goes on in the next one.
    flat = np.zeros(1 + pixels.shape[1] * (height + 1), bool)
    flat[1:].reshape(-1, height + 1)[:, :height] = pixels.T
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    if not len(edges):
        return None
    column, row = np.divmod(edges, height + 1)
    ends = (region.left + column) * canvas.height + region.top + row
    if height == canvas.height:  # there they do
        ends = _joined(ends)
    runs = np.diff(np.concatenate([[0], ends, [canvas.width * canvas.height]]))
    counts = runs if runs[-1] else runs[:-1]
    rle = coco.frPyObjects({"size": [canvas.height, canvas.width], "counts": counts.tolist()}, 0, 0)
    return Mask(size=(canvas.height, canvas.width), counts=rle["counts"].decode())


def _joined(ends: Array) -> Array:
    """Without the ends of strokes at which the next one begins."""
    touching = np.flatnonzero(ends[1:-1:2] == ends[2::2])
    joined: Array = np.delete(ends, np.concatenate([2 * touching + 1, 2 * touching + 2]))
    return joined
