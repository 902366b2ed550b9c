"""Processes as Linux tells of them: who is still alive, who was started for which stack."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

# In the environment of everything a supervisor starts; its value is the state folder.
MARK = "PRELABEL_SUPERVISED_STATE"

_STATE_FIELD, _THREADS_FIELD, _STARTED_FIELD = 0, 17, 19  # of /proc/<pid>/stat, counted after the command's name


class ProcessIdentity(BaseModel):
    """A pid alone may by now be somebody else's; with the time of its start it is not."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        fields = _stat(pid)
        return cls(pid=pid, started=int(fields[_STARTED_FIELD]) if fields else 0)

    def alive(self) -> bool:
        """A zombie is dead: it only waits for its parent to notice. Unless it has threads, which hold what it held."""
        fields = _stat(self.pid)
        if not fields or int(fields[_STARTED_FIELD]) != self.started:
            return False
        return fields[_STATE_FIELD] != "Z" or int(fields[_THREADS_FIELD]) > 1


def started_for(state: Path) -> Iterator[ProcessIdentity]:
    """Every process that a supervisor of this state folder started, however far down."""
    mark = f"{MARK}={state}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and mark in _environment(entry):
            yield ProcessIdentity.of(int(entry.name))


def working_in(folder: Path) -> list[int]:
    """The processes whose working directory this is; dead ones have none."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return found


def signal_process(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def kill_group(leader: int) -> None:
    """What a process left behind in its group goes too, at once."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The name stands in parentheses and may hold anything, parentheses too.
    return text.rpartition(")")[2].split()
