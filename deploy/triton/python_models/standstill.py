"""Ends the process of a model in Python that stood still while it was asked, before its answer goes to somebody else.

Triton's Python backend fails a call when it has seen no sign of the model's process for a second, but leaves the queue
between both as it is (`StubLauncher::ReceiveMessageFromStub`, still so in July 2026). A process that was only stopped,
or got no processor, answers later, and the next call takes that answer for its own. A process that is gone answers
nothing; whoever asks sees that it "is not healthy", and loads the model anew.
"""

import os
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

# A sign is given each 0.3 s, by a thread that needs no lock of Python.
_LONGEST_SECONDS = 0.6
_LOOKS_EVERY_SECONDS = 0.1
# By then Triton has seen signs again, or has failed the call.
_MATTERS_SECONDS = 2.0


class _Watch:
    """Since when the process runs without a standstill: time that passed while it neither worked nor looked."""

    def __init__(self) -> None:
        self.stood_until = float("-inf")
        self._seen = time.monotonic(), time.process_time()
        threading.Thread(target=self._go_on_looking, daemon=True).start()

    def look(self) -> None:
        now, worked = time.monotonic(), time.process_time()
        seen, had_worked = self._seen
        # A computation may keep this thread from looking, and is no standstill.
        if (now - seen) - (worked - had_worked) > _LONGEST_SECONDS:
            self.stood_until = now
        self._seen = now, worked

    def _go_on_looking(self) -> None:
        while True:
            time.sleep(_LOOKS_EVERY_SECONDS)
            self.look()


_watch = _Watch()


def answers_in_time(execute: Callable[[Any, list[Any]], list[Any]]) -> Callable[[Any, list[Any]], list[Any]]:
    """For `TritonPythonModel.execute`."""

    @wraps(execute)
    def watched(model: Any, requests: list[Any]) -> list[Any]:
        began = time.monotonic()
        answers = execute(model, requests)
        _watch.look()
        if _watch.stood_until > began - _MATTERS_SECONDS:
            os._exit(1)
        return answers

    return watched
