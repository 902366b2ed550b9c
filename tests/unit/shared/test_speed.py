"""The moving average of a model's speed, and the durations it gives."""

import random

import pytest

from shared.speed import Sample, Speed


def _after(*samples: Sample) -> Speed:
    speed = Speed.first(samples[0])
    for sample in samples[1:]:
        speed = speed.after(sample)
    return speed


def test_the_first_minutes_are_rows_by_time_whatever_the_samples_length() -> None:
    speed = _after(Sample(100, 10.0), Sample(10, 0.5), Sample(300, 15.0))
    assert speed.rows_per_second == pytest.approx(410 / 25.5)
    assert (speed.seconds, speed.samples) == (25.5, 3)


def test_later_it_follows_what_is_measured() -> None:
    speed = _after(*[Sample(100, 5.0)] * 100)
    assert speed.seconds == 120
    assert speed.rows_per_second == pytest.approx(20)
    assert speed.deviation == pytest.approx(0)
    for _ in range(72):  # six minutes at half the speed
        speed = speed.after(Sample(50, 5.0))
    assert speed.rows_per_second == pytest.approx(10, rel=0.06)


def test_the_deviation_is_that_of_the_samples() -> None:
    chance = random.Random(3)
    speed = _after(*[Sample(round(chance.gauss(1000, 100)), 5.0) for _ in range(2000)])
    assert speed.rows_per_second == pytest.approx(200, rel=0.05)
    assert speed.deviation == pytest.approx(20, rel=0.35)


def test_a_duration_lies_in_an_interval_that_narrows() -> None:
    first = Speed.first(Sample(100, 5.0))
    one = first.duration(400)
    assert one.low == pytest.approx(20 / 1.5)
    assert (one.expected, one.high) == (20, 40)
    steady = _after(*[Sample(100, 5.0)] * 10).duration(400)
    assert steady.expected == pytest.approx(20)
    assert 17 < steady.low < 20 < steady.high < 24
    wild = _after(*[Sample(rows, 5.0) for rows in (10, 400) * 10]).duration(400)
    assert wild.low < steady.low
    assert wild.high > steady.high
    assert wild.high <= wild.expected * 5.001, "never without an end"
