"""When a model that says ready counts as one that hangs."""

import time

import pytest

from services.inference.reports import ModelState
from services.inference.silence import Silence

MODEL = "reader-1"


class _Server:
    """One that is looked at once a second; a clock that only it moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.silence = Silence(10)
        self._now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self._now)

    def for_seconds(self, seconds: int, answered: int, state: str = "READY") -> bool:
        for _ in range(seconds):
            self._now += 1
            self.silence.note({"1:8001": {MODEL: ModelState(state, answered=answered)}})
        return self.silence.is_too_long(MODEL)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    return _Server(monkeypatch)


def test_no_answer_for_longer_than_is_borne(server: _Server) -> None:
    assert not server.for_seconds(11, answered=5)
    assert server.for_seconds(1, answered=5)


def test_an_answer_to_anybody_ends_it(server: _Server) -> None:
    assert not server.for_seconds(8, answered=5)
    assert not server.for_seconds(8, answered=6)
    assert server.for_seconds(4, answered=6)


@pytest.mark.parametrize("state", ["UNAVAILABLE", "LOADING", "UNLOADING"])
def test_what_is_not_ready_is_not_silent(server: _Server, state: str) -> None:
    assert not server.for_seconds(30, answered=5, state=state)
    assert not server.for_seconds(11, answered=5)


def test_a_server_that_was_away_begins_anew(server: _Server) -> None:
    assert not server.for_seconds(10, answered=5)
    server.silence.note({})
    assert not server.for_seconds(10, answered=5)


def test_a_slow_first_answer_gets_twice_the_time_after_each_load(server: _Server) -> None:
    assert not server.for_seconds(1, answered=5)
    assert server.for_seconds(11, answered=5)
    assert not server.for_seconds(20, answered=0), "loaded anew, which is no answer"
    assert server.for_seconds(2, answered=0)
    assert not server.for_seconds(1, answered=1)
    assert server.for_seconds(11, answered=1), "after an answer it is borne as long as at first"


def test_a_model_that_nobody_serves_is_not_silent(server: _Server) -> None:
    server.for_seconds(30, answered=5)
    assert not server.silence.is_too_long("another")
