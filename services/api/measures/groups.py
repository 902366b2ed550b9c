"""Two groups beside each other, with confidence bounds of what lies between them. Pure.

Objects of one data row are not independent, so a share of objects counts for as many as its spread over rows allows
(Kish's design effect). The interval of a difference is Newcombe's tenth (Statistics in Medicine 17, 1998, 873 to 890),
that of a ratio of means follows from its logarithm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

from services.api.measures.bounds import Interval, wilson

_LEAST = 2


@dataclass(frozen=True, slots=True)
class Proportion:
    """`part` of `whole`, and what that leaves open."""

    part: int
    whole: int
    interval: Interval

    @property
    def value(self) -> float | None:
        return self.part / self.whole if self.whole else None


def of_rows(part: int, whole: int, confidence: float = 0.95) -> Proportion:
    """Of things that are independent."""
    return Proportion(part, whole, wilson(part, whole, confidence))


def of_clusters(clusters: Sequence[tuple[int, int]], confidence: float = 0.95) -> Proportion:
    """`clusters` are part and whole of each row."""
    part, whole = sum(one for one, _ in clusters), sum(every for _, every in clusters)
    if not whole:
        return of_rows(0, 0)
    share = part / whole
    spread = sum((one - share * every) ** 2 for one, every in clusters) / whole**2
    spread *= len(clusters) / max(len(clusters) - 1, 1)
    alone = share * (1 - share) / whole
    effect = max(1.0, spread / alone) if alone else 1.0
    return Proportion(part, whole, wilson(part / effect, whole / effect, confidence))


def difference(one: Proportion, other: Proportion) -> tuple[float, Interval] | None:
    """The first less the second; None where one of them has nothing."""
    if one.value is None or other.value is None:
        return None
    low = math.hypot(one.value - one.interval.low, other.interval.high - other.value)
    high = math.hypot(one.interval.high - one.value, other.value - other.interval.low)
    between = one.value - other.value
    return between, Interval(between - low, between + high)


def ratio_of_means(
    one: Sequence[float], other: Sequence[float], confidence: float = 0.95
) -> tuple[float, Interval] | None:
    """The first's by the second's; None with fewer than two of either, or where there is nothing to divide."""
    if min(len(one), len(other)) < _LEAST or fmean(one) <= 0 or fmean(other) <= 0:
        return None
    ratio = fmean(one) / fmean(other)
    spread = sum(variance(group) / (len(group) * fmean(group) ** 2) for group in (one, other))
    factor = math.exp(NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(spread))
    return ratio, Interval(ratio / factor, ratio * factor)
