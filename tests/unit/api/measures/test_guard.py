"""The rule that stops a policy: what it promises, by counting and by trying."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.auto_accept.guard import Guard, usual_window
from services.api.measures.bounds import at_least, least_total, lower_bound

GUARD = Guard(target=0.95, confidence=0.95, window=usual_window(0.95, 0.95))

targets, confidences = st.floats(0.5, 0.99), st.floats(0.8, 0.99)


@st.composite
def guards(draw: st.DrawFn) -> Guard:
    target, confidence = draw(targets), draw(confidences)
    least = least_total(target, confidence)
    return Guard(target, confidence, least + draw(st.integers(0, 300)))


@given(guards())
def test_it_stops_exactly_when_the_lower_bound_falls_under_the_target(guard: Guard) -> None:
    assert guard.is_possible
    for wrong in {0, guard.allowed, guard.allowed + 1, guard.window}:
        bound = lower_bound(guard.window - wrong, guard.window, guard.confidence)
        if abs(bound - guard.target) > 1e-9:
            assert guard.stops(wrong) == (bound < guard.target)


@given(guards(), st.lists(st.booleans(), max_size=600))
def test_the_first_stop_is_found_as_if_every_window_were_looked_at(guard: Guard, verdicts: list[bool]) -> None:
    looked_at = [
        sum(not one for one in verdicts[max(0, end - guard.window) : end]) > guard.allowed
        for end in range(1, len(verdicts) + 1)
    ]
    assert guard.first_stop(verdicts) == (looked_at.index(True) + 1 if True in looked_at else None)


@given(guards(), st.floats(0.0, 0.9))
def test_the_computed_number_of_audits_is_the_least_that_is_sure_enough(guard: Guard, precision: float) -> None:
    within = guard.audits_to_stop(precision)
    if within is None:
        assert at_least(guard.allowed + 1, guard.window, 1 - precision) < guard.confidence
    else:
        assert at_least(guard.allowed + 1, within, 1 - precision) >= guard.confidence
        assert within <= guard.allowed + 1 or at_least(guard.allowed + 1, within - 1, 1 - precision) < guard.confidence


def test_when_everything_is_wrong_it_takes_as_many_as_may_not_be() -> None:
    assert (GUARD.window, GUARD.allowed) == (236, 6)
    assert GUARD.audits_to_stop(0.0) == GUARD.allowed + 1
    assert GUARD.audits_to_stop(0.97) is None


@pytest.mark.parametrize("fallen", [0.5, 0.8, 0.88])
def test_a_drift_is_noticed_within_the_computed_number_of_audits(fallen: float) -> None:
    within = GUARD.audits_to_stop(fallen)
    assert within is not None
    chance, late = random.Random(11), 0
    for _ in range(400):
        # Nothing was wrong before, which is the worst case: no wrong audit of before helps.
        verdicts = [True] * GUARD.window + [chance.random() < fallen for _ in range(within)]
        late += GUARD.first_stop(verdicts) is None
    assert late / 400 <= 1 - GUARD.confidence + 0.03


def test_a_policy_under_its_target_passes_the_first_window_seldom_however_often_one_looks() -> None:
    chance, passed = random.Random(3), 0
    for _ in range(2_000):
        passed += GUARD.first_stop([chance.random() < 0.945 for _ in range(GUARD.window)]) is None
    assert passed / 2_000 <= 1 - GUARD.confidence


def test_a_good_policy_goes_on() -> None:
    chance, stopped = random.Random(4), 0
    for _ in range(100):
        stopped += GUARD.first_stop([chance.random() < 0.995 for _ in range(1_000)]) is not None
    assert stopped / 100 <= 0.05


def test_a_window_too_short_to_say_anything() -> None:
    assert not Guard(0.95, 0.95, 58).is_possible
    assert Guard(0.95, 0.95, 59).is_possible
    assert Guard(0.95, 0.95, 59).allowed == 0
