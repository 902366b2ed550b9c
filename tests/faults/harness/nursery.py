"""Forks services out of one process that has imported them already, so that a start costs milliseconds, not seconds.

`python -m tests.faults.harness.nursery` reads one JSON object a line: {"name", "module", "arguments", "environment",
"log", "defect", "crash"}. It writes {"name", "pid"} for each start and {"pid", "code"} for each end. What it forked
runs the service's own main in a session of its own, and dies with it.
"""

import ctypes
import importlib
import json
import os
import select
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_IMPORTED = (
    "services.api.__main__",
    "services.api.bootstrap",
    "services.api.worker",
    "services.inference.__main__",
    "services.notifier.__main__",
    "tests.faults.defective",
)


def main() -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, _bury)
    # An end that comes just before the wait for an order would else be told with the next order.
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C goes to the test, which ends us
    _say(ready=True)
    # Unbuffered: a child must not find orders that were read ahead.
    while line := _line(woken):
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork() or _become(order)
        _say(name=order["name"], pid=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _line(woken: int) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        while 0 not in (ready := select.select([0, woken], [], [])[0]):
            os.read(ready[0], 4096)
        byte = os.read(0, 1)
        if not byte:
            return b""
        found += byte
    return found


def _bury(number: int, frame: FrameType | None) -> None:
    del number, frame
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(pid=pid, code=os.waitstatus_to_exitcode(status))


def _say(**message: Any) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _become(order: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        _prepare(order)
        defective = importlib.import_module("tests.faults.defective")
        defective.run(order["module"], order["arguments"], order["defect"], order["crash"])
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _prepare(order: dict[str, Any]) -> None:
    parent = os.getppid()
    os.setsid()
    signal.set_wakeup_fd(-1)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order["environment"])
    # Two children that draw ids from one state would draw the same ones.
    importlib.import_module("uuid_utils").reseed_rng()


if __name__ == "__main__":
    main()
