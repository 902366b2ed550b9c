"""Two groups beside each other, against published figures and by hand."""

import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.measures.bounds import wilson
from services.api.measures.groups import difference, of_clusters, of_rows, ratio_of_means


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_differences_are_those_of_newcombe_s_table(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Table II of Statistics in Medicine 17, 1998, 873 to 890, method 10."""
    found = difference(of_rows(*one), of_rows(*other))
    assert found is not None
    assert found[0] == pytest.approx(one[0] / one[1] - other[0] / other[1])
    assert found[1] == pytest.approx((low, high), abs=5e-5)


def test_objects_that_come_alone_are_independent() -> None:
    found = of_clusters([(1, 1)] * 30 + [(0, 1)] * 10)
    # The spread between 40 rows is by 40/39 more than that of independent ones.
    assert found.interval == pytest.approx(wilson(30 * 39 / 40, 39))


def test_objects_of_a_row_that_go_together_count_as_one() -> None:
    together = of_clusters([(5, 5)] * 30 + [(0, 5)] * 10)
    assert (together.part, together.whole, together.value) == (150, 200, 0.75)
    assert together.interval == pytest.approx(wilson(30 * 39 / 40, 39))


@given(st.lists(st.integers(0, 6).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))), max_size=30))
def test_a_share_lies_within_its_interval(clusters: list[tuple[int, int]]) -> None:
    found = of_clusters(clusters)
    low, high = found.interval
    assert 0 <= low <= high <= 1
    if found.value is not None:
        assert low - 1e-9 <= found.value <= high + 1e-9
        assert found.interval.high - found.interval.low >= 0
    else:
        assert difference(found, of_rows(1, 2)) is None


def test_a_ratio_of_means_by_hand() -> None:
    one, other = [30.0, 50.0], [10.0, 10.0, 40.0]
    found = ratio_of_means(one, other)
    assert found is not None
    spread = 200 / (2 * 40**2) + 300 / (3 * 20**2)
    factor = math.exp(1.959964 * math.sqrt(spread))
    assert found[0] == 2.0
    assert found[1] == pytest.approx((2 / factor, 2 * factor), rel=1e-6)
    turned = ratio_of_means(other, one)
    assert turned is not None
    assert turned[1] == pytest.approx((1 / found[1].high, 1 / found[1].low))
    assert found[0] == fmean(one) / fmean(other)


@pytest.mark.parametrize("few", [[], [3.0], [0.0, 0.0]])
def test_too_few_have_no_ratio(few: list[float]) -> None:
    assert ratio_of_means(few, [1.0, 2.0]) is None
    assert ratio_of_means([1.0, 2.0], few) is None
