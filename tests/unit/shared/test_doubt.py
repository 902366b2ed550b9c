from math import log2

import pytest

from shared.doubt import Doubt, doubt


def test_nothing_shown_is_no_doubt() -> None:
    assert doubt([]) == Doubt(0, 0, 0)


def test_objects_are_there_or_not() -> None:
    assert doubt([1.0]) == Doubt(0, 0, 0)
    assert doubt([0.5]) == Doubt(0.5, 1, 1)
    found = doubt([0.9, 0.3])
    assert found == pytest.approx((0.7, 0.6, _bits(0.9, 0.1) + _bits(0.3, 0.7)))
    assert doubt([0.3, 0.3, 0.3]).entropy > doubt([0.5]).entropy, "many unsure things are more to look at than one"


def test_a_radio_is_as_unsure_as_its_two_likeliest_options_are_near() -> None:
    found = doubt([], [[0.5, 0.4]])
    assert found == pytest.approx((0.5, 0.9, _bits(0.5, 0.4, 0.1)))
    assert doubt([], [[0.6]]) == pytest.approx((0.4, 0.8, _bits(0.6, 0.4)))
    # Scores of independent options may add up to more than 1.
    assert doubt([], [[0.9, 0.9]]) == pytest.approx((0.1, 1, 1))
    assert doubt([0.8], [[0.9, 0.1]]) == pytest.approx((0.2, 0.4, _bits(0.8, 0.2) + _bits(0.9, 0.1)))


def _bits(*parts: float) -> float:
    return -sum(part * log2(part) for part in parts)
