"""What stands in a line: pictures of lines for the recognition network, and its answer as text.

The network was trained on Chinese before all and leaves most spaces out; they are put back where the picture has a gap.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HEIGHT = 48
# A line is filled up to a width of its own, never to its neighbours': what is read must not depend on them.
NARROWEST, WIDTH_STEP, WIDEST = 320, 160, 3200
GAP, GAP_OF_DIGITS = 10, 13  # pixels without ink that part two words, two digits
INK = 0.3  # contrast of a column with ink, of the highest in the line
MARGIN = 4
WRITTEN_WITHOUT_SPACES = 0x2E80  # Chinese and Japanese characters begin here
UPRIGHT = 1.5
"""A region this many times as high as it is wide holds text that runs down; it is turned."""


def cut_line(image: Array, quad: Array) -> Array:
    """The region of a picture straightened out, HEIGHT x width x 3 UINT8."""
    top_left, top_right, bottom_right, bottom_left = quad
    width = max(1, round(max(_distance(top_left, top_right), _distance(bottom_left, bottom_right))))
    height = max(1, round(max(_distance(top_left, bottom_left), _distance(top_right, bottom_right))))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), corners)
    line = cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if height >= UPRIGHT * width:
        line = np.ascontiguousarray(np.rot90(line))
    scaled = min(WIDEST, max(1, int(np.ceil(HEIGHT * line.shape[1] / line.shape[0]))))
    return cv2.resize(line, (scaled, HEIGHT))


def filled_width(line: Array) -> int:
    """Of the input that a line goes into."""
    return max(NARROWEST, -(-int(line.shape[1]) // WIDTH_STEP) * WIDTH_STEP)


def as_input(lines: Sequence[Array], width: int) -> Array:
    """N x 3 x HEIGHT x width, from -1 to 1; 0 where a line has ended."""
    filled = np.zeros((len(lines), 3, HEIGHT, width), np.float32)
    for row, line in enumerate(lines):
        filled[row, :, :, : line.shape[1]] = line.transpose(2, 0, 1) / 127.5 - 1
    return filled


def read(probabilities: Array, characters: Sequence[str], line: Array) -> tuple[str, float]:
    """The text of one line and the mean certainty of its characters. `probabilities`: steps x characters.

    The first character stands for none; the same one in steps that follow each other is read once.
    """
    best = probabilities.argmax(axis=1)
    taken = np.flatnonzero((best != 0) & np.concatenate([[True], best[1:] != best[:-1]]))
    if not len(taken):
        return "", 0.0
    places = (taken + 0.5) * filled_width(line) / len(best)
    text = "".join(_spaced([characters[index] for index in best[taken]], places, _gaps(line)))
    return text.strip(), float(probabilities[taken].max(axis=1).mean())


def _spaced(characters: Sequence[str], places: Array, gaps: Array) -> Iterator[str]:
    """The characters, with a space where a gap lies between two of them. `gaps`: middle and width of each."""
    before, at = " ", 0.0
    for character, place in zip(characters, places, strict=True):
        pair = before + character
        if " " not in pair and max(map(ord, pair)) < WRITTEN_WITHOUT_SPACES:
            widest = GAP_OF_DIGITS if pair.isdigit() else GAP
            if ((gaps[:, 0] > at) & (gaps[:, 0] < place) & (gaps[:, 1] >= widest)).any():
                yield " "
        yield character
        before, at = character, place


def _gaps(line: Array) -> Array:
    """Middle and width of each run of columns without ink between two with it.

    Ink is what makes contrast within a column, since the ground may be shaded.
    """
    grey = line[MARGIN:-MARGIN].mean(axis=2)
    contrast = grey.max(axis=0) - grey.min(axis=0)
    inked = np.flatnonzero(contrast > INK * np.percentile(contrast, 95))
    middles, widths = (inked[1:] + inked[:-1] + 1) / 2, np.diff(inked) - 1
    return np.stack([middles, widths], axis=1)[widths > 0]


def _distance(one: Array, other: Array) -> float:
    return float(np.linalg.norm(one - other))
