"""What every annotation kind offers. Coordinates are float pixels of the EXIF-oriented image, (0, 0) the outer
corner of its top left pixel, x right, y down. Text offsets are Unicode code points, half-open."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class FeatureType(StrEnum):
    """Types of tools and classifications an ontology may hold."""

    BOUNDING_BOX = "bounding_box"
    POLYGON = "polygon"
    POLYLINE = "polyline"
    POINT = "point"
    MASK = "mask"
    TEXT_ENTITY = "text_entity"
    RADIO = "radio"
    CHECKLIST = "checklist"
    FREE_TEXT = "free_text"


TOOL_TYPES = frozenset(
    {
        FeatureType.BOUNDING_BOX,
        FeatureType.POLYGON,
        FeatureType.POLYLINE,
        FeatureType.POINT,
        FeatureType.MASK,
        FeatureType.TEXT_ENTITY,
    }
)
CLASSIFICATION_TYPES = frozenset(FeatureType) - TOOL_TYPES

NO_LOSS = "none"
"""What a conversion loses that keeps everything."""

ROUNDED_BY = 0.01
"""In pixels: many formats write two decimals."""
FARTHEST = 1e7
Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-FARTHEST, le=FARTHEST)]
Extent = Annotated[float, Field(allow_inf_nan=False, gt=0, le=2 * FARTHEST)]
Position = tuple[Coordinate, Coordinate]


class Canvas(NamedTuple):
    """The room an annotation must fit in: an image in pixels, or a text in code points."""

    width: int = 0
    height: int = 0
    length: int = 0

    def has(self, x: float, y: float) -> bool:
        """Whether a position lies in the image, or so little outside that it was rounded there."""
        return -ROUNDED_BY <= x <= self.width + ROUNDED_BY and -ROUNDED_BY <= y <= self.height + ROUNDED_BY


def coordinate(value: float) -> float:
    """Back into the range of coordinates, which rounding may leave."""
    return max(-FARTHEST, min(FARTHEST, value))


class AnnotationValue(BaseModel):
    """A geometry or an answer.

    `taken_by` names the feature type it is without conversion, `becomes` those it may be converted to, the nearest
    first, each with what the conversion loses. From the likeness `alike_from` on, two say the same; from
    `touching_from` on they do where a rough look is enough.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    taken_by: ClassVar[FeatureType | None]
    becomes: ClassVar[Mapping[FeatureType, str]] = {}
    alike_from: ClassVar[float] = 1.0
    touching_from: ClassVar[float] = 1.0

    def area(self) -> float | None:
        """In square pixels; None where the kind has none."""
        return None

    def clip(self, canvas: Canvas) -> Self | None:
        """What lies within the canvas; None when nothing does."""
        del canvas
        return self

    def is_within(self, canvas: Canvas) -> bool:
        """Whether all of it lies in the canvas, give or take what writers round away."""
        del canvas
        return True

    def likeness(self, other: "AnnotationValue") -> float:
        """0 to 1: the share of both that is common to them; whether they are equal, where the kind has no extent."""
        return float(self == other)

    def option_ids(self) -> tuple[UUID, ...]:
        """The options it names, where its kind has any."""
        return ()

    def with_options(self, ids: Mapping[UUID, UUID]) -> Self:
        """The same with its options by other ids. KeyError for one that `ids` does not have."""
        del ids
        return self

    def claims(self) -> frozenset[UUID | None]:
        """What a data row has once for a feature: a radio or text its answer (None), a checklist each option."""
        return frozenset()

    def convert(self, target: FeatureType) -> "AnnotationValue | None":
        """The same thing for another feature type; None when there is no honest way."""
        return self if target == self.taken_by else None
