"""How far confidence is the share of what is right, and the threshold that reaches a wanted precision. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.api.measures.bounds import Interval, least_total, lower_bound, wilson

BINS = 10
MOST_CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """Judged pre-labels of about one confidence: from `low` on, `confidences` their sum."""

    low: float
    total: int
    right: int
    confidences: float


@dataclass(frozen=True, slots=True)
class Bin:
    low: float
    high: float
    total: int
    right: int
    confidences: float
    interval: Interval | None

    @property
    def confidence(self) -> float:
        """The mean, of a bin that is not empty."""
        return self.confidences / self.total

    @property
    def share(self) -> float:
        return self.right / self.total


@dataclass(frozen=True, slots=True)
class Calibration:
    """`error` is the expected calibration error, `worst` the greatest of a bin; None without judged pre-labels."""

    bins: Sequence[Bin]
    error: float | None
    worst: float | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What judged pre-labels say of one threshold. `bound` holds for all candidates at once."""

    threshold: float
    total: int
    right: int
    bound: float

    @property
    def precision(self) -> float:
        return self.right / self.total


def calibrate(judged: Sequence[Judged], bins: int = BINS, confidence: float = 0.95) -> Calibration:
    """Equal widths from 0 to 1; each of `judged` falls into the bin of its `low`."""
    found = [_bin(number, bins, judged, confidence) for number in range(bins)]
    total = sum(one.total for one in found)
    gaps = [(one.total, abs(one.share - one.confidence)) for one in found if one.total]
    if not total:
        return Calibration(found, None, None)
    return Calibration(found, sum(count * gap for count, gap in gaps) / total, max(gap for _, gap in gaps))


def _bin(number: int, bins: int, judged: Sequence[Judged], confidence: float) -> Bin:
    own = [one for one in judged if min(int(one.low * bins + 1e-9), bins - 1) == number]
    total, right = sum(one.total for one in own), sum(one.right for one in own)
    return Bin(
        low=number / bins,
        high=(number + 1) / bins,
        total=total,
        right=right,
        confidences=sum(one.confidences for one in own),
        interval=wilson(right, total, confidence) if total else None,
    )


def candidates(judged: Sequence[Judged], target: float, confidence: float) -> list[Candidate]:
    """About twenty thresholds at most, as many pre-labels apart, the highest first; the last has all of them.

    Which they are follows from the confidences alone, and each bound is taken at 1 / (their number) of the error that
    is allowed (Bonferroni): so it holds for the one that is chosen for how well it did.
    """
    ordered = sorted(judged, key=lambda one: -one.low)
    every = sum(one.total for one in ordered)
    step = max(every / MOST_CANDIDATES, least_total(target, _each(confidence, MOST_CANDIDATES)))
    chosen: list[tuple[float, int, int]] = []
    total = right = last = 0
    for one in ordered:
        total, right = total + one.total, right + one.right
        if total - last >= step or total == every:
            chosen.append((one.low, total, right))
            last = total
    each = _each(confidence, len(chosen))
    return [Candidate(low, count, good, lower_bound(good, count, each)) for low, count, good in chosen]


def reaching(found: Sequence[Candidate], target: float) -> Candidate | None:
    """The lowest threshold whose bound reaches the target, so that as many as possible are above it."""
    good = [one for one in found if one.bound >= target]
    return min(good, key=lambda one: one.threshold, default=None)


def _each(confidence: float, number: int) -> float:
    return 1 - (1 - confidence) / max(number, 1)
