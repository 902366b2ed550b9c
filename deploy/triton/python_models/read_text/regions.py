"""Where the lines of text are: the map of the detection network -> quadrilaterals.

As PaddleOCR does it for networks with differentiable binarization. Its map marks the core of a line only, so each
found rectangle grows by as much as the network was trained to shrink it.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STEP = 32
"""The detection network takes sides that are multiples of it."""
LIKELY, SURE = 0.3, 0.6  # of a pixel to be text, of a whole line
GROWTH = 1.6
SMALLEST_SIDE = 3
MOST = 1000


def find_quads(likely: Array) -> list[Array]:
    """`likely`: height x width, from 0 to 1. Each quad is 4 x 2, clockwise from the top left, in pixels of the map."""
    core = cv2.dilate((likely > LIKELY).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(core, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return list(_quads(likely, contours[:MOST]))


def content_box(image: Array) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what is not the plain black ground of a letterbox; all 0 when nothing is."""
    rows, columns = np.flatnonzero(image.any(axis=(1, 2))), np.flatnonzero(image.any(axis=(0, 2)))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _quads(likely: Array, contours: Any) -> Iterator[Array]:
    for contour in contours:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < SMALLEST_SIDE:
            continue
        if _certainty(likely, contour.reshape(-1, 2)) < SURE:
            continue
        by = width * height * GROWTH / (2 * (width + height))
        yield _from_top_left(cv2.boxPoints((centre, (width + 2 * by, height + 2 * by), angle)))


def _certainty(likely: Array, contour: Array) -> float:
    """The mean of the map within a contour. Not within its rectangle: a line that is bent fills little of that."""
    low, high = contour.min(axis=0), contour.max(axis=0)
    inside = np.zeros((high - low + 1)[::-1], np.uint8)
    cv2.fillPoly(inside, [contour - low], (1,))
    return float(cv2.mean(likely[low[1] : high[1] + 1, low[0] : high[0] + 1], mask=inside)[0])


def _from_top_left(corners: Array) -> Array:
    left, right = np.split(corners[np.argsort(corners[:, 0], kind="stable")], 2)
    (top_left, bottom_left), (top_right, bottom_right) = (side[np.argsort(side[:, 1])] for side in (left, right))
    return np.array([top_left, top_right, bottom_right, bottom_left], np.float32)
