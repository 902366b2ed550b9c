"""How fast a model works here: a moving average of what workers measured, and the durations it gives. Pure."""

from dataclasses import dataclass
from math import sqrt
from typing import Self

_REMEMBERED_SECONDS = 120.0
_FEW_SAMPLES = 3
_LEAST, _WITH_FEW, _MOST = 0.15, 0.5, 0.8


@dataclass(frozen=True, slots=True)
class Sample:
    """So many rows in so many seconds of work on the model, whatever else the worker did meanwhile."""

    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Duration:
    """In seconds; `low` to `high` is where it lies when the speed varies as it did while it was measured."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one worker. The plain average of the first two minutes of work, then a moving one; each sample counts by its
    time. `variance` is that of the samples."""

    rows_per_second: float
    variance: float
    seconds: float
    samples: int

    @classmethod
    def first(cls, sample: Sample) -> Self:
        return cls(sample.rows / sample.seconds, 0.0, sample.seconds, 1)

    def after(self, sample: Sample) -> "Speed":
        seconds = min(self.seconds + sample.seconds, _REMEMBERED_SECONDS)
        weight = min(sample.seconds / seconds, 1.0)
        distance = sample.rows / sample.seconds - self.rows_per_second
        return Speed(
            rows_per_second=self.rows_per_second + weight * distance,
            variance=(1 - weight) * (self.variance + weight * distance**2),
            seconds=seconds,
            samples=self.samples + 1,
        )

    @property
    def deviation(self) -> float:
        return sqrt(self.variance)

    def duration(self, rows: int) -> Duration:
        """Two standard deviations each way, and never surer than some per cent; a few samples say little."""
        around = max(2 * self.deviation / self.rows_per_second, _WITH_FEW if self.samples < _FEW_SAMPLES else _LEAST)
        around = min(around, _MOST)
        expected = rows / self.rows_per_second
        return Duration(expected, expected / (1 + around), expected / (1 - around))
