"""One option out of several."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self
from uuid import UUID

from shared.annotations.base import AnnotationValue, FeatureType


class Radio(AnnotationValue):
    kind: Literal["radio"] = "radio"
    option_id: UUID

    taken_by: ClassVar[FeatureType | None] = FeatureType.RADIO

    def option_ids(self) -> tuple[UUID, ...]:
        return (self.option_id,)

    def with_options(self, ids: Mapping[UUID, UUID]) -> Self:
        return self.model_copy(update={"option_id": ids[self.option_id]})

    def claims(self) -> frozenset[UUID | None]:
        return frozenset({None})
