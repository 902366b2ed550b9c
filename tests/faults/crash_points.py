"""Named points at which a process kills itself, without warning, the nth time it passes, or stands still.

To add one: write how it is watched, name it in `POINTS`. Commits are counted where they write results or an event.
"""

import functools
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any

import sqlalchemy.event
from sqlalchemy.orm import Session

from services.inference import writing
from services.inference.servers import Servers
from shared.contracts.event import Event
from shared.database.unit_of_work import UnitOfWork
from shared.signals import Signals

Pass = Callable[[], None]
_WRITES = "writes results or an event"


def arm(crash: str) -> None:
    """`point:count`, such as `after_commit:3`; with `:stop` behind it, it is stopped there instead."""
    name, count, *how = crash.split(":")
    POINTS[name](_countdown(int(count), signal.SIGSTOP if how == ["stop"] else signal.SIGKILL))


def _countdown(left: int, what: signal.Signals) -> Pass:
    def passed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), what)

    return passed


def _before_call(passed: Pass) -> None:
    _wrap(Servers, "infer", before=passed)


def _after_call(passed: Pass) -> None:
    _wrap(Servers, "infer", after=passed)


def _after_publish(passed: Pass) -> None:
    _wrap(Signals, "send", after=passed)


def _before_commit(passed: Pass) -> None:
    _watch_commits("before_commit", passed)


def _after_commit(passed: Pass) -> None:
    _watch_commits("after_commit", passed)


POINTS: Mapping[str, Callable[[Pass], None]] = {
    "before_call": _before_call,
    "after_call": _after_call,
    "before_commit": _before_commit,
    "after_commit": _after_commit,
    "after_publish": _after_publish,
}


def _watch_commits(which: str, passed: Pass) -> None:
    emit = UnitOfWork.emit

    @functools.wraps(emit)
    def marked_emit(self: UnitOfWork, event: Event) -> None:
        self.session.sync_session.info[_WRITES] = True
        emit(self, event)

    def committing(session: Session) -> None:
        if session.info.get(_WRITES):
            passed()

    # Results have a transaction of their own: `write` ends before its commit, `store` after it.
    _wrap(writing, "write" if which == "before_commit" else "store", after=passed)
    UnitOfWork.emit = marked_emit  # type: ignore[method-assign]
    sqlalchemy.event.listen(Session, which, committing)


def _wrap(owner: type | ModuleType, name: str, *, before: Pass = lambda: None, after: Pass = lambda: None) -> None:
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(original)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        before()
        answer = await original(*arguments, **named)
        after()
        return answer

    setattr(owner, name, wrapped)
