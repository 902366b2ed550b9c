"""An answer in free words."""

from typing import ClassVar, Literal

from pydantic import Field

from shared.annotations.base import AnnotationValue, FeatureType


class FreeText(AnnotationValue):
    kind: Literal["free_text"] = "free_text"
    text: str = Field(max_length=100_000)

    taken_by: ClassVar[FeatureType | None] = FeatureType.FREE_TEXT
