"""What counts as time of work on a model."""

import contextlib

from services.inference.speed import Speedometer
from shared.ids import new_id
from shared.speed import Sample

MODEL, OTHER = new_id(), new_id()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_sample_is_five_seconds_of_work_and_the_next_begins_there() -> None:
    clock = Clock()
    meter = Speedometer(clock)
    with meter.at_work(MODEL):
        for _ in range(2):
            clock.now += 3
            meter.count(MODEL, 30)
            taken = meter.take()
        assert taken == {MODEL: Sample(60, 6.0)}
        clock.now += 1
        assert meter.take() == {}
        clock.now += 5
        meter.count(MODEL, 12)
        assert meter.take() == {MODEL: Sample(12, 6.0)}


def test_idle_time_is_no_time_of_work_and_two_pipelines_are_one_stretch() -> None:
    clock = Clock()
    meter = Speedometer(clock)
    with meter.at_work(MODEL):
        clock.now += 1
        with meter.at_work(MODEL), meter.at_work(OTHER):
            clock.now += 1
            meter.count(MODEL, 20)
            meter.count(OTHER, 5)
        clock.now += 1
    clock.now += 0.5
    assert meter.take() == {OTHER: Sample(5, 1.0)}
    with meter.at_work(MODEL):
        clock.now += 1
        meter.count(MODEL, 10)
    clock.now += 60
    assert meter.take() == {MODEL: Sample(30, 4.0)}
    clock.now += 60
    assert meter.take() == {}


def test_work_that_came_to_no_good_end_says_nothing() -> None:
    clock = Clock()
    meter = Speedometer(clock)
    with contextlib.suppress(OSError), meter.at_work(MODEL):
        meter.count(MODEL, 3)
        clock.now += 20
        raise OSError("Triton went away")
    with meter.at_work(MODEL):
        clock.now += 2
        meter.count(MODEL, 8)
    clock.now += 2
    assert meter.take() == {MODEL: Sample(8, 2.0)}


def test_nothing_is_said_of_rows_nobody_worked_on_or_of_no_rows() -> None:
    clock = Clock()
    meter = Speedometer(clock)
    meter.count(MODEL, 5)
    with meter.at_work(OTHER):
        clock.now += 9
    assert meter.take() == {}
