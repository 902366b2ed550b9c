"""An answer in free words."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.annotations.base import AnnotationValue, FeatureType


class FreeText(AnnotationValue):
    kind: Literal["free_text"] = "free_text"
    text: str = Field(max_length=100_000)

    taken_by: ClassVar[FeatureType | None] = FeatureType.FREE_TEXT

    def claims(self) -> frozenset[UUID | None]:
        return frozenset({None})
