"""Where the model's input lies on the data row: the way back for what the model says."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from shared.annotations import Canvas


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The tokens of a row without its padding, in the model's order.

    `starts` and `ends` are code points, half-open and without the white space around a token; `words` are the numbers
    of the words they belong to, -1 for special tokens, which stand for nothing in the text.
    """

    starts: NDArray[Any]
    ends: NDArray[Any]
    words: NDArray[Any]


class Placement(NamedTuple):
    """Model pixels to image pixels: `image = (model - offset) / scale`. `canvas` is the whole data row.

    `tokens` for what was tokenized; `read_to`, a code point, when the model saw no more of the text than that.
    """

    canvas: Canvas
    scale_x: float = 1.0
    scale_y: float = 1.0
    offset_x: float = 0.0
    offset_y: float = 0.0
    tokens: Tokens | None = None
    read_to: int | None = None

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.offset_x) / self.scale_x, (y - self.offset_y) / self.scale_y
