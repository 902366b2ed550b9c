"""A stretch of a text."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.annotations.base import AnnotationValue, Canvas, FeatureType


class TextEntity(AnnotationValue):
    """Unicode code points, half-open: `text[start:end]`."""

    kind: Literal["text_entity"] = "text_entity"
    start: int = Field(ge=0)
    end: int = Field(gt=0)

    taken_by: ClassVar[FeatureType | None] = FeatureType.TEXT_ENTITY
    touching_from: ClassVar[float] = 1e-12

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must lie behind start")
        return self

    def clip(self, canvas: Canvas) -> Self | None:
        if self.start >= canvas.length:
            return None
        return self.model_copy(update={"end": min(self.end, canvas.length)})

    def is_within(self, canvas: Canvas) -> bool:
        return self.end <= canvas.length

    def likeness(self, other: AnnotationValue) -> float:
        if not isinstance(other, TextEntity):
            return 0.0
        common = max(0, min(self.end, other.end) - max(self.start, other.start))
        return common / (max(self.end, other.end) - min(self.start, other.start)) if common else 0.0
