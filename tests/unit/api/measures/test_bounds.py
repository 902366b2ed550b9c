"""Bounds against published tables, and what they promise against counting."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.measures.bounds import (
    allowed_wrong,
    at_least,
    clopper_pearson,
    least_total,
    lower_bound,
    wilson,
)

# Newcombe, Statistics in Medicine 17 (1998) 857, table I: the score method and Clopper-Pearson "exact", 95 %.
NEWCOMBE = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]
counts = st.integers(1, 400).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@pytest.mark.parametrize(("right", "total", "score", "exact"), NEWCOMBE)
def test_published_intervals(right: int, total: int, score: tuple[float, float], exact: tuple[float, float]) -> None:
    assert wilson(right, total) == pytest.approx(score, abs=5e-5)
    assert clopper_pearson(right, total) == pytest.approx(exact, abs=5e-5)


def test_nothing_seen_says_nothing() -> None:
    assert wilson(0, 0) == clopper_pearson(0, 0) == (0.0, 1.0)
    assert lower_bound(0, 0) == 0.0


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_at_least_is_the_sum_of_the_binomial_terms(total: int, right: int, share: float) -> None:
    counted = sum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(right, total + 1))
    assert at_least(right, total, share) == pytest.approx(counted, abs=1e-10)


@given(counts, st.floats(0.5, 0.999))
def test_the_lower_bound_is_where_so_many_become_unlikely(seen: tuple[int, int], confidence: float) -> None:
    right, total = seen
    bound = lower_bound(right, total, confidence)
    if right:
        assert at_least(right, total, bound) == pytest.approx(1 - confidence, abs=1e-9)
        assert bound <= right / total


@given(counts)
def test_intervals_hold_the_share_and_mirror(seen: tuple[int, int]) -> None:
    right, total = seen
    for interval in (wilson, clopper_pearson):
        low, high = interval(right, total)
        assert 0 <= low <= right / total <= high <= 1
        mirrored = interval(total - right, total)
        assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((low, high), abs=1e-9)


@given(st.integers(1, 300), st.floats(0.5, 0.99), st.floats(0.8, 0.99))
def test_allowed_wrong_is_the_last_count_that_holds(total: int, target: float, confidence: float) -> None:
    allowed = allowed_wrong(total, target, confidence)
    holds = [wrong for wrong in range(total + 1) if at_least(total - wrong, total, target) <= 1 - confidence]
    assert allowed == (max(holds) if holds else None)
    assert (allowed is not None) == (total >= least_total(target, confidence))


def test_the_rule_of_three() -> None:
    assert least_total(0.95, 0.95) == 59
    assert least_total(0.99, 0.95) == 299
    assert (allowed_wrong(58, 0.95, 0.95), allowed_wrong(59, 0.95, 0.95)) == (None, 0)


def test_the_lower_bound_covers_as_often_as_it_says() -> None:
    chance = random.Random(5)
    bounds = {right: lower_bound(right, 120) for right in range(121)}
    kept = sum(bounds[sum(chance.random() < 0.93 for _ in range(120))] <= 0.93 for _ in range(4_000))
    assert kept / 4_000 >= 0.945
