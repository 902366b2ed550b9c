"""`python -m shared.first_process services.api`: runs a module as `python -m` would, and ends at SIGTERM from its first
moment on.

A container's first process has no default for signals: one that comes while the module is still loading would be lost,
and the pod would stand until its grace is over.
"""

import os
import runpy
import signal
import sys
from types import FrameType

_ENDED_BY_A_SIGNAL = 128


def main() -> None:
    signal.signal(signal.SIGTERM, _end)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end(number: int, _: FrameType | None) -> None:
    """At once, as the default would: a module that has something to leave in order has a handler of its own by then."""
    os._exit(_ENDED_BY_A_SIGNAL + number)


if __name__ == "__main__":
    main()
