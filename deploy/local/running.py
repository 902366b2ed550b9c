"""The stack of a state folder as other commands see it: wait until it has made up its mind, or stop it."""

import asyncio
import signal
import time
from collections.abc import Callable

from deploy.local.leftovers import end_leftovers, remove_shared_memory
from deploy.local.logs import Tail
from deploy.local.output import say, say_aside
from deploy.local.processes import signal_process
from deploy.local.state import StackStatus, StateFolder
from deploy.local.triton import shared_memory_prefix

STOP_SECONDS = 120.0


class StackFailed(RuntimeError):
    """In words for whoever gave the command."""


def settled(state: StateFolder) -> StackStatus | None:
    """The stack that runs, None when none does. One that is starting or stopping is waited for."""
    told = ""
    while True:
        status = state.status()
        if status is None or not status.supervisor.alive():
            return None
        if status.phase == "ready":
            return status
        if status.running() and status.phase != told:
            say_aside(f"waiting for the stack on {state.root}, which is {status.phase}")
            told = status.phase
        time.sleep(0.05)


def stop_running(state: StateFolder) -> bool:
    """Stop a stack that somebody else started; False when none runs. Also clears away what a killed one left."""
    status = state.status()
    if status is None or not status.supervisor.alive():
        with state.owned():
            left = asyncio.run(end_leftovers(state))
            remove_shared_memory(shared_memory_prefix(state))
        return left > 0
    told = Tail(state.log_folder / "supervisor.log")
    if status.phase in {"starting", "ready"}:  # to one that stops already, a second signal would say: at once
        signal_process(status.supervisor.pid, signal.SIGTERM)

    def ended() -> bool:
        gone = not status.supervisor.alive()
        for line in told.lines():
            say(line.partition(" ")[2])  # without the date
        return gone

    if not wait_until(ended, STOP_SECONDS):
        raise StackFailed(f"process {status.supervisor.pid} did not stop within {STOP_SECONDS:.0f} s")
    return True


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True
