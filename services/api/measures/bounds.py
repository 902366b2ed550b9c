"""Confidence bounds of a proportion, and how many may be wrong before a bound falls. Pure.

Wilson's interval (1927) is what is shown beside a share; Clopper and Pearson's (1934), which never covers less than it
says, is what decides. Both are checked against Newcombe's tables (Statistics in Medicine 17, 1998).
"""

import math
from statistics import NormalDist
from typing import NamedTuple

_STEPS = 44
_LENTZ_STEPS = 500
_TINY = 1e-300
_CLOSE = 1e-15


class Interval(NamedTuple):
    low: float
    high: float


def wilson(right: float, total: float, confidence: float = 0.95) -> Interval:
    """Two-sided; the whole unit interval where nothing was seen."""
    if total == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = right / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt((share * (1 - share) + weight / 4) / total) / (1 + weight)
    # Rounding must not move the ends that are known.
    low = 0.0 if right == 0 else max(0.0, middle - half)
    return Interval(low, 1.0 if right == total else min(1.0, middle + half))


def clopper_pearson(right: int, total: int, confidence: float = 0.95) -> Interval:
    """Two-sided; the whole unit interval where nothing was seen."""
    one_sided = (1 + confidence) / 2
    return Interval(lower_bound(right, total, one_sided), 1 - lower_bound(total - right, total, one_sided))


def lower_bound(right: int, total: int, confidence: float = 0.95) -> float:
    """One-sided, exact: the share under which so many right ones are less likely than 1 - `confidence`."""
    if right == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if at_least(right, total, middle) < 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def at_least(right: int, total: int, share: float) -> float:
    """How likely so many or more of `total` are right, each with the chance `share`."""
    if right <= 0:
        return 1.0
    if right > total:
        return 0.0
    return _incomplete_beta(right, total - right + 1, share)


def allowed_wrong(total: int, target: float, confidence: float) -> int | None:
    """The most wrong ones of `total` with which the lower bound still reaches `target`; None when all right are too
    few."""
    # The bound falls with each wrong one, so the last that holds is found by halves.
    low, high = -1, total
    while high - low > 1:
        wrong = (low + high) // 2
        if at_least(total - wrong, total, target) <= 1 - confidence:
            low = wrong
        else:
            high = wrong
    return low if low >= 0 else None


def least_total(target: float, confidence: float) -> int:
    """How many it takes, all of them right, for the lower bound to reach `target`, which lies between 0 and 1."""
    return math.ceil(math.log(1 - confidence) / math.log(target) - _CLOSE)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularized. The continued fraction converges quickly on the side of the mean that it is asked for."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    front = math.exp(log_front)
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's method (Numerical Recipes, 6.4)."""
    c, d = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _LENTZ_STEPS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _apart(1 + step * d)
            c = _apart(1 + step / c)
            found *= d * c
        if abs(d * c - 1) < _CLOSE:
            break
    return found


def _apart(value: float) -> float:
    """Away from zero, so that it may be divided by."""
    return value if abs(value) > _TINY else _TINY
