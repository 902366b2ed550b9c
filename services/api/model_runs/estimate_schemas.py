"""What a run would do and how long it would take, as HTTP shows it."""

from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.speed import Duration, Speed

SkipReason = Literal["already_labeled", "review_submitted", "beyond_limit"]


class _Shown(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class MeasuredSpeed(_Shown):
    """Of one worker here: a moving average over its last minutes of work on the model."""

    rows_per_second: float
    deviation: float = Field(description="standard deviation of the samples, in rows a second")
    samples: int

    @classmethod
    def of(cls, speed: Speed) -> Self:
        return cls(rows_per_second=speed.rows_per_second, deviation=speed.deviation, samples=speed.samples)


class EstimatedDuration(_Shown):
    """Seconds of work, without the time the run waits for others. It lies from `low` to `high` if the speed varies as
    it did."""

    expected: float
    low: float
    high: float

    @classmethod
    def of(cls, duration: Duration) -> Self:
        return cls(expected=duration.expected, low=duration.low, high=duration.high)


class SkippedRows(_Shown):
    reason: SkipReason
    rows: int


class RunEstimate(_Shown):
    """What a run with this body would do now."""

    model_id: UUID
    selected: int = Field(description="data rows of the batches, or of the project")
    rows: int = Field(description="those of them to do")
    reused: int = Field(
        description="those to do whose result is known, so that no model is asked; beyond 5,000 rows, by a sample"
    )
    skipped: list[SkippedRows]
    duration: EstimatedDuration | None = Field(description="without the rows that are reused")
    duration_reason: Literal["never_measured"] | None = Field(description="why there is no duration")
    speed: MeasuredSpeed | None = Field(description="what the duration rests on")
