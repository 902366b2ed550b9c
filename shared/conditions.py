"""Rules of an alignment entry: which detections of its class it is about."""

from pydantic import BaseModel, ConfigDict, Field

from shared.detections import Seen


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Rule):
    """Half-open: `minimum <= value < maximum`."""

    minimum: float | None = Field(default=None, allow_inf_nan=False)
    maximum: float | None = Field(default=None, allow_inf_nan=False)

    def holds(self, value: float | None) -> bool:
        if value is None:
            return False
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value < self.maximum)


class Condition(_Rule):
    """All parts that are given must hold. `area` in square pixels."""

    confidence: Range | None = None
    area: Range | None = None
    attribute: dict[str, str | float | bool] = Field(default_factory=dict)

    def holds(self, detection: Seen) -> bool:
        return (
            (self.confidence is None or self.confidence.holds(detection.confidence))
            and (self.area is None or self.area.holds(detection.area))
            and all(detection.attributes.get(name) == wanted for name, wanted in self.attribute.items())
        )
