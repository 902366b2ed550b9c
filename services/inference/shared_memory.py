"""Memory that a Triton on the same machine reads and writes by itself: files in /dev/shm, mapped here and there.

A region is lent as an array and comes back by itself when no array refers to its memory any more. One that a call
without an answer may still use rests first, so that a late call never meets the data of another batch.
"""

import fcntl
import mmap
import os
import secrets
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from services.inference.tensors import Array
from shared.telemetry import logger

FOLDER = Path("/dev/shm")
PREFIX = "prelabel-tensors-"
# Less than this is as cheap in the message itself.
WORTH_BYTES = 64 * 1024
REST_SECONDS = 60.0
_GRAIN_BYTES = 256 * 1024
_MOST_REGIONS = 64
_PAUSE_SECONDS = 10.0

log = logger(__name__)


class Extent(NamedTuple):
    """Where an array lies, in a file of this name."""

    region: str
    offset: int
    byte_size: int


@dataclass(eq=False, slots=True)
class _Region:
    name: str
    size: int
    memory: mmap.mmap
    start: int
    suspected: bool = False
    lent: "weakref.ref[Array] | None" = None


class SharedMemory:
    """The regions of this process: so many as batches are in flight, up to a limit. For any thread."""

    def __init__(self, most_bytes: int, folder: Path = FOLDER, rest_seconds: float = REST_SECONDS) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._rest_seconds = rest_seconds
        self._lock = threading.Lock()
        self._regions: dict[str, _Region] = {}
        self._free: list[_Region] = []
        # Arrays end in any thread and at any moment, also while the lock is held by that same thread.
        self._returned: deque[_Region] = deque()
        self._resting: deque[tuple[float, _Region]] = deque()
        self._files: set[Path] = set()
        self._no_room_until = 0.0
        sweep(folder)
        self._end = weakref.finalize(self, _remove_files, os.getpid(), self._files)

    def lend(self, byte_size: int, at_least: int = WORTH_BYTES) -> Array | None:
        """So many bytes, not cleared; None where there is no room or it is not worth it."""
        if byte_size < at_least or not byte_size:
            return None
        with self._lock:
            self._take_back()
            region = self._fitting(byte_size) or self._another(byte_size)
            if region is None:
                return None
            array: Array = np.frombuffer(region.memory, np.uint8, byte_size)
            region.lent = weakref.ref(array, _giving_back(region, self._returned))
            return array

    def place(self, array: Array) -> Extent | None:
        """None for what lies elsewhere, or not in one piece."""
        if not array.nbytes or not array.flags.c_contiguous:
            return None
        address = array.__array_interface__["data"][0]
        for region in tuple(self._regions.values()):
            if region.start <= address < region.start + region.size:
                return Extent(region.name, address - region.start, array.nbytes)
        return None

    def suspect(self, name: str) -> None:
        """A call ended without an answer, and may still use this region."""
        region = self._regions.get(name)
        if region is not None:
            region.suspected = True

    def sizes(self) -> dict[str, int]:
        """Of every region that is in use, by name."""
        return {name: region.size for name, region in tuple(self._regions.items())}

    def is_left_over(self, name: str) -> bool:
        """A region of a process that is gone, by what its file is called."""
        return name.startswith(PREFIX) and not (self._folder / name).exists()

    def close(self) -> None:
        """Nothing of it stays in the folder; arrays that are there still remain valid."""
        with self._lock:
            self._most_bytes = 0
            self._regions.clear()
            self._free.clear()
            self._resting.clear()
        self._end()

    def _take_back(self) -> None:
        now = time.monotonic()
        while self._returned:
            region = self._returned.popleft()
            if region.suspected:
                self._resting.append((now + self._rest_seconds, region))
            else:
                self._free.append(region)
        while self._resting and self._resting[0][0] <= now:
            self._remove(self._resting.popleft()[1])

    def _fitting(self, byte_size: int) -> _Region | None:
        fitting = [region for region in self._free if region.size >= byte_size]
        if not fitting:
            return None
        chosen = min(fitting, key=lambda region: region.size)
        self._free.remove(chosen)
        return chosen

    def _another(self, byte_size: int) -> _Region | None:
        size = -(-byte_size // _GRAIN_BYTES) * _GRAIN_BYTES
        if size > self._most_bytes or time.monotonic() < self._no_room_until:
            return None
        while self._free and not self._has_room(size):
            self._remove(self._free.pop(0))
        if not self._has_room(size):
            return None
        try:
            region = self._made(size)
        except OSError as error:
            self._no_room_until = time.monotonic() + _PAUSE_SECONDS
            log.warning("no_shared_memory", folder=str(self._folder), bytes=size, error=str(error))
            return None
        self._regions[region.name] = region
        return region

    def _has_room(self, size: int) -> bool:
        used = sum(region.size for region in self._regions.values())
        return len(self._regions) < _MOST_REGIONS and used + size <= self._most_bytes

    def _made(self, size: int) -> _Region:
        found = os.statvfs(self._folder)
        if size > found.f_bavail * found.f_frsize // 2:  # Triton's own backends live there too
            raise OSError("it is almost full")
        name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        path = self._folder / name
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            self._files.add(path)
            # Says that its process lives, also to one that counts process ids otherwise; the mapping keeps it.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(file, 0, size)  # a file with holes would kill the process when the folder is full
            if path.stat().st_ino != os.fstat(file).st_ino:
                raise OSError("it was swept away")
            memory = mmap.mmap(file, size)
        except OSError:
            path.unlink(missing_ok=True)
            self._files.discard(path)
            raise
        finally:
            os.close(file)
        return _Region(name, size, memory, np.frombuffer(memory, np.uint8).__array_interface__["data"][0])

    def _remove(self, region: _Region) -> None:
        path = self._folder / region.name
        path.unlink(missing_ok=True)
        self._files.discard(path)
        del self._regions[region.name]


def sweep(folder: Path) -> None:
    """Remove what processes of ours that were killed have left."""
    for path in folder.glob(f"{PREFIX}*"):
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # another's, or gone
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:  # its process lives
            continue
        finally:
            os.close(file)


def _giving_back(region: _Region, returned: deque[_Region]) -> Any:
    return lambda _: returned.append(region)


def _remove_files(process: int, files: set[Path]) -> None:
    if os.getpid() != process:  # a fork of it ends
        return
    for path in files:
        path.unlink(missing_ok=True)
    files.clear()
