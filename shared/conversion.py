"""The way from what a model gives to what a feature takes, and what is lost on it."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from shared.annotations import FeatureType, conversion_loss


class Conversion(BaseModel):
    """What becomes of the geometry between the model and the feature. `loss` is `none` where nothing is lost."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    from_: str = Field(alias="from", examples=["polygon"])
    to: FeatureType
    loss: str = Field(examples=["keeps only the outline's bounds"])

    @classmethod
    def of(cls, kind: str, target: FeatureType) -> Self:
        """KeyError where there is none."""
        return cls.model_validate({"from": kind, "to": target, "loss": conversion_loss(kind, target)})
