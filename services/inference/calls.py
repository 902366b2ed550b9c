"""How many calls a model gets at once from this process, over all lanes.

Twice its instances: one that is worked on and one that waits for each, so that none is ever idle. More would only wait
in Triton's queue, where a stopping worker must wait for them and another project's rows stand behind them.
"""

import math
from collections.abc import Sequence

import numpy as np

from services.inference.places import Places
from services.inference.tensors import NUMPY_TYPES
from shared.preprocessing import EncodedImage, Preprocessing, TextBytes, Tokenized
from shared.tensors import Tensor

_AN_INSTANCE, _UNKNOWN = 2, 4
_A_LANE_BYTES = 64 * 1024 * 1024
_TEXT_BYTES = 16 * 1024
_QUICK_SECONDS = 0.5
ENOUGH = 4
"""Batches that keep a model busy while others are prepared and stored. More of them share a commit."""


def most_batches(inputs: Sequence[Tensor], size: int, preprocessing: Preprocessing) -> int:
    """Of `size` rows, under way in a lane: small ones are many, large ones take no more memory than they must."""
    if isinstance(preprocessing, EncodedImage):  # whose size nobody knows
        return ENOUGH
    row, longest = 0, _longest(preprocessing)
    for tensor in inputs:
        if -1 in tensor.shape and longest is None:
            return ENOUGH
        sides = [longest or 1 if side == -1 else side for side in tensor.shape]
        item = _TEXT_BYTES if tensor.datatype == "BYTES" else np.dtype(NUMPY_TYPES[tensor.datatype]).itemsize
        row += math.prod(sides) * item
    return max(ENOUGH, _A_LANE_BYTES // max(row * size, 1))


def is_quick(rows_per_second: float | None, rows: int) -> bool:
    """Whether so many rows are little work. Whoever takes over from a dead worker runs each of them alone."""
    return rows_per_second is not None and rows <= rows_per_second * _QUICK_SECONDS


def _longest(preprocessing: Preprocessing) -> int | None:
    """What a side that is free has at most: rows are padded to a power of two."""
    if isinstance(preprocessing, TextBytes):
        return 1 << (preprocessing.max_bytes - 1).bit_length()
    if isinstance(preprocessing, Tokenized):
        return 1 << (preprocessing.max_length - 1).bit_length()
    return None


class Calls:
    def __init__(self) -> None:
        self._places: dict[str, Places] = {}

    def settle(self, model: str, instances: int | None) -> None:
        """Of a model on a server of others nobody knows how many there are."""
        self.of(model).limit = _UNKNOWN if instances is None else _AN_INSTANCE * instances

    def of(self, model: str) -> Places:
        if model not in self._places:
            self._places[model] = Places(_AN_INSTANCE)
        return self._places[model]
