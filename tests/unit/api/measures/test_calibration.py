import random

import pytest

from services.api.measures.bounds import lower_bound
from services.api.measures.calibration import Judged, calibrate, candidates, reaching


def test_bins_and_the_expected_error() -> None:
    # Ten at 0.95 of which nine are right, thirty at 0.55 of which twenty-four are.
    found = calibrate([Judged(0.95, 10, 9, 9.5), Judged(0.55, 30, 24, 16.5)])
    assert [(one.low, one.total, one.right) for one in found.bins if one.total] == [(0.5, 30, 24), (0.9, 10, 9)]
    assert found.error == pytest.approx((30 * 0.25 + 10 * 0.05) / 40)
    assert found.worst == pytest.approx(0.25)


def test_a_confidence_of_one_is_in_the_last_bin_and_each_bound_in_its_own() -> None:
    judged = [Judged(number / 100, 1, 1, number / 100) for number in range(101)]
    assert [one.total for one in calibrate(judged).bins] == [10] * 9 + [11]


def test_without_judged_pre_labels_nothing_is_said() -> None:
    found = calibrate([])
    assert (found.error, found.worst, sum(one.total for one in found.bins)) == (None, None, 0)
    assert candidates([], 0.95, 0.95) == []
    assert reaching([], 0.95) is None


def test_the_lowest_threshold_that_reaches_the_target_is_chosen() -> None:
    judged = [Judged(0.9, 2_000, 1_990, 1_900), Judged(0.8, 2_000, 1_980, 1_700), Judged(0.5, 2_000, 1_200, 1_000)]
    found = candidates(judged, 0.95, 0.95)
    assert [(one.threshold, one.total) for one in found] == [(0.9, 2_000), (0.8, 4_000), (0.5, 6_000)]
    assert found[0].bound == pytest.approx(lower_bound(1_990, 2_000, 1 - 0.05 / 3))
    chosen = reaching(found, 0.95)
    assert chosen is not None
    assert (chosen.threshold, chosen.precision) == (0.8, 3_970 / 4_000)
    assert reaching(found, 0.999) is None


def test_the_chosen_threshold_keeps_its_promise_though_it_was_chosen() -> None:
    """At every threshold the precision is just under the target: what is chosen is wrong, and must be so seldom."""
    chance = random.Random(7)
    wrong = 0
    for _ in range(100):
        judged = []
        for number in range(50, 100):
            right = sum(chance.random() < 0.895 for _ in range(20))
            judged.append(Judged(number / 100, 20, right, 20 * number / 100))
        wrong += reaching(candidates(judged, 0.9, 0.9), 0.9) is not None
    assert wrong / 100 <= 0.1
