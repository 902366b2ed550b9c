"""What a supervisor that was killed left running, ended before the next one starts the same things."""

import asyncio
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from deploy.local.processes import ProcessIdentity, kill_group, signal_process, started_for
from deploy.local.state import StateFolder

# SIGINT is PostgreSQL's fast shutdown; to SIGTERM it would wait for its clients.
_STOP_SIGNALS = {"postgres": signal.SIGINT}
_KILLED_SECONDS = 5


async def end_leftovers(state: StateFolder, seconds: float = 15) -> int:
    """Ask, wait, kill, and wait until they are gone: until then their ports are taken. Gives how many there were."""
    found = _find(state)
    for process, number in found.items():
        signal_process(process.pid, number)
    await _gone(found, seconds)
    for process in found:
        if process.alive():
            kill_group(process.pid)
            signal_process(process.pid, signal.SIGKILL)
    await _gone(found, _KILLED_SECONDS)
    return len(found)


def remove_shared_memory(prefix: str) -> None:
    """Regions that a killed server could not remove; `prefix` is of one state folder only."""
    for region in Path("/dev/shm").glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


async def _gone(processes: Iterable[ProcessIdentity], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    # Processes of others tell nobody when they end.
    while any(process.alive() for process in processes) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _find(state: StateFolder) -> dict[ProcessIdentity, int]:
    found: dict[ProcessIdentity, int] = {}
    status = state.status()
    for name, service in (status.services if status else {}).items():
        if service.process and service.process.alive():
            found[service.process] = _STOP_SIGNALS.get(name, signal.SIGTERM)
    for process in started_for(state.root):
        found.setdefault(process, signal.SIGTERM)
    return found
