"""Pixels of the whole image, as COCO compressed run-length encoding: column-major."""

from collections.abc import Mapping
from itertools import accumulate
from typing import ClassVar, Literal

import numpy as np
from pycocotools import mask as coco
from pydantic import Field, model_validator

from shared.annotations.base import AnnotationValue, Canvas, FeatureType
from shared.annotations.bounding_box import BoundingBox
from shared.annotations.outline import outline
from shared.annotations.point import Point
from shared.annotations.polygon import Polygon, parts_of

_MAX_SIDE = 65_535
_MAX_PIXELS = 2**29
_MOST_GROUPS = 6  # five bits each: enough for a run of _MAX_PIXELS; the C decoder shifts more out of its integers


class Mask(AnnotationValue):
    """`size` is (height, width); `counts` the compressed runs as text."""

    kind: Literal["mask"] = "mask"
    size: tuple[int, int]
    counts: str = Field(min_length=1, max_length=10_000_000, pattern=r"^[0-o]+$")

    taken_by: ClassVar[FeatureType | None] = FeatureType.MASK
    becomes: ClassVar[Mapping[FeatureType, str]] = {
        FeatureType.POLYGON: "drops specks; a long outline moves by up to 1.5 pixels",
        FeatureType.BOUNDING_BOX: "keeps only the bounds",
        FeatureType.POINT: "keeps only the centre of the area",
    }
    alike_from: ClassVar[float] = 0.5
    touching_from: ClassVar[float] = 0.5

    @model_validator(mode="after")
    def _runs_fill_the_image(self) -> "Mask":
        height, width = self.size
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise ValueError(f"size must lie between 1 and {_MAX_SIDE}")
        if height * width > _MAX_PIXELS:
            raise ValueError(f"height x width must be at most {_MAX_PIXELS}")
        if sum(_runs(self.counts)) != height * width:
            raise ValueError("the runs do not add up to height x width")
        return self

    def runs(self) -> list[int]:
        """Lengths down the columns, of pixels outside and inside in turn."""
        return _runs(self.counts)

    def area(self) -> float:
        return float(coco.area(self._rle()))

    def is_within(self, canvas: Canvas) -> bool:
        return self.size == (canvas.height, canvas.width)

    def likeness(self, other: AnnotationValue) -> float:
        if not isinstance(other, Mask) or self.size != other.size:
            return 0.0
        common = _common(self._strokes(), other._strokes())
        return common / (self.area() + other.area() - common) if common else 0.0

    def convert(self, target: FeatureType) -> AnnotationValue | None:
        if target == FeatureType.BOUNDING_BOX:
            return self._bounds()
        if target == FeatureType.POLYGON:
            areas = outline(self.size[0], self._strokes())
            return None if areas is None else Polygon(parts=parts_of(areas))
        if target == FeatureType.POINT:
            return self._centre()
        return super().convert(target)

    def _bounds(self) -> BoundingBox | None:
        # Not COCO's own, which gives nonsense when a run is empty, as some writers leave them.
        height = self.size[0]
        strokes = [(start, end - 1) for start, end in self._strokes()]
        if not strokes:
            return None
        left, right = strokes[0][0] // height, strokes[-1][1] // height
        # A stroke that goes on in the next column touches the lower and the upper edge.
        within = [(a % height, b % height) if a // height == b // height else (0, height - 1) for a, b in strokes]
        top, bottom = min(a for a, _ in within), max(b for _, b in within)
        return BoundingBox(left=left, top=top, width=right - left + 1, height=bottom - top + 1)

    def _centre(self) -> Point | None:
        height, start = self.size[0], 0
        pixels, xs, ys = 0, 0.0, 0.0
        for place, run in enumerate(_runs(self.counts)):
            if place % 2:
                column, row = np.divmod(np.arange(start, start + run), height)
                pixels, xs, ys = pixels + run, xs + float(column.sum()), ys + float(row.sum())
            start += run
        # A pixel's centre lies half a pixel from its corner.
        return Point(x=xs / pixels + 0.5, y=ys / pixels + 0.5) if pixels else None

    def _strokes(self) -> list[tuple[int, int]]:
        """[start, end) of the pixels that belong to it, down the columns; none is empty, no two touch."""
        ends = list(accumulate(_runs(self.counts)))
        strokes: list[tuple[int, int]] = []
        for start, end in zip(ends[0::2], ends[1::2], strict=False):
            if strokes and start == strokes[-1][1]:
                strokes[-1] = (strokes[-1][0], end)
            elif end > start:
                strokes.append((start, end))
        return strokes

    def _rle(self) -> dict[str, object]:
        return {"size": list(self.size), "counts": self.counts.encode()}


def _common(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    """How many pixels both have. Not COCO's own, which stops early where both have an empty run."""
    pixels = here = there = 0
    while here < len(one) and there < len(other):
        pixels += max(0, min(one[here][1], other[there][1]) - max(one[here][0], other[there][0]))
        if one[here][1] <= other[there][1]:
            here += 1
        else:
            there += 1
    return pixels


def _runs(counts: str) -> list[int]:
    """Lengths of the runs. The C decoder trusts its input, so what is broken must never reach it."""
    runs: list[int] = []
    value = groups = 0
    for character in counts:
        group = ord(character) - 48
        value |= (group & 0x1F) << (5 * groups)
        groups += 1
        if groups > _MOST_GROUPS:
            raise ValueError("counts hold a run that is too long")
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << (5 * groups)
        # From the third run on, COCO stores the difference to the run before the last.
        run = value + runs[-2] if len(runs) > 2 else value  # noqa: PLR2004
        if run < 0:
            raise ValueError("counts hold a negative run")
        runs.append(run)
        value = groups = 0
    if groups:
        raise ValueError("counts end within a run")
    return runs
