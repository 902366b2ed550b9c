"""Pixels of the whole image, as COCO compressed run-length encoding: column-major."""

from typing import ClassVar, Literal

from pycocotools import mask as coco
from pydantic import Field, model_validator

from shared.annotations.base import AnnotationValue, FeatureType
from shared.annotations.bounding_box import BoundingBox

_MAX_SIDE = 65_535


class Mask(AnnotationValue):
    """`size` is (height, width); `counts` the compressed runs as text."""

    kind: Literal["mask"] = "mask"
    size: tuple[int, int]
    counts: str = Field(min_length=1, max_length=10_000_000, pattern=r"^[0-o]+$")

    taken_by: ClassVar[FeatureType | None] = FeatureType.MASK
    becomes: ClassVar[frozenset[FeatureType]] = frozenset({FeatureType.BOUNDING_BOX})

    @model_validator(mode="after")
    def _runs_fill_the_image(self) -> "Mask":
        height, width = self.size
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise ValueError(f"size must lie between 1 and {_MAX_SIDE}")
        if _run_total(self.counts) != height * width:
            raise ValueError("the runs do not add up to height x width")
        return self

    def area(self) -> float:
        return float(coco.area(self._rle()))

    def convert(self, target: FeatureType) -> AnnotationValue | None:
        if target == FeatureType.BOUNDING_BOX:
            left, top, width, height = (float(value) for value in coco.toBbox(self._rle()))
            return BoundingBox(left=left, top=top, width=width, height=height) if width > 0 and height > 0 else None
        return super().convert(target)

    def _rle(self) -> dict[str, object]:
        return {"size": list(self.size), "counts": self.counts.encode()}


def _run_total(counts: str) -> int:
    """Sum of all runs. The C decoder trusts its input, so a wrong sum must never reach it."""
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value = shift = 0
        while True:
            if position >= len(counts):
                raise ValueError("counts end within a run")
            group = ord(counts[position]) - 48
            position += 1
            value |= (group & 0x1F) << (5 * shift)
            shift += 1
            if not group & 0x20:
                if group & 0x10:
                    value -= 1 << (5 * shift)
                break
        # From the third run on, COCO stores the difference to the run before the last.
        run = value + runs[-2] if len(runs) > 2 else value  # noqa: PLR2004
        if run < 0:
            raise ValueError("counts hold a negative run")
        runs.append(run)
    return sum(runs)
