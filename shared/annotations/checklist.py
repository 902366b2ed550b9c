"""Any number of options."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.annotations.base import AnnotationValue, FeatureType


class CheckedOption(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    option_id: UUID


class Checklist(AnnotationValue):
    kind: Literal["checklist"] = "checklist"
    options: tuple[CheckedOption, ...] = Field(min_length=1, max_length=10_000)

    taken_by: ClassVar[FeatureType | None] = FeatureType.CHECKLIST

    def option_ids(self) -> tuple[UUID, ...]:
        return tuple(option.option_id for option in self.options)

    def with_options(self, ids: Mapping[UUID, UUID]) -> Self:
        options = tuple(CheckedOption(option_id=ids[option.option_id]) for option in self.options)
        return self.model_copy(update={"options": options})

    def claims(self) -> frozenset[UUID | None]:
        return frozenset(self.option_ids())
