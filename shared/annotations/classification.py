"""The whole data row is of a class, in the model's words. The alignment turns it into an answer."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from shared.annotations.base import NO_LOSS, AnnotationValue, FeatureType


class Classification(AnnotationValue):
    kind: Literal["classification"] = "classification"

    taken_by: ClassVar[FeatureType | None] = None
    # Through an option: the alignment says which.
    becomes: ClassVar[Mapping[FeatureType, str]] = {FeatureType.RADIO: NO_LOSS, FeatureType.CHECKLIST: NO_LOSS}
