"""Log files, one a service, and their lines on the terminal with the service's name in front."""

import asyncio
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from deploy.local.output import drop_output

LARGEST_BYTES = 20_000_000
_COLOURS = (36, 32, 33, 35, 34, 31)


class Terminal:
    """Lines for a person; the supervisor's own are kept in a file as well."""

    def __init__(self, names: Iterable[str], own_log: Path, out: TextIO = sys.stdout) -> None:
        self._names = ["supervisor", *names]
        self._width = max(len(name) for name in self._names)
        self._own_log, self._out, self.unread = own_log, out, False

    def say(self, line: str) -> None:
        with suppress(FileNotFoundError), self._own_log.open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        self.show("supervisor", line)

    def show(self, name: str, line: str, *, fresh: bool = True) -> None:
        """When a line that is not fresh was written, only the line itself may know."""
        if self.unread:
            return
        prefix = f"{time.strftime('%H:%M:%S') if fresh else '':8} {name:<{self._width}} |"
        if self._out.isatty():
            prefix = f"\x1b[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{prefix}\x1b[0m"
        try:
            self._out.write(f"{prefix} {line}\n")
            self._out.flush()
        except BrokenPipeError:
            # Whoever read along is gone; the files are still written.
            self.unread = True
            drop_output()


class Tail:
    """New lines of one log file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path, self._rest = path, b""
        self._at = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(self._at if size >= self._at else 0)
                new = file.read()
                self._at = file.tell()
        except FileNotFoundError:
            return []
        *whole, self._rest = (self._rest + new).split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]


async def follow(logs: dict[str, Path], terminal: Terminal, ended: Callable[[], bool] = lambda: False) -> None:
    """Show every new line until cancelled or ended, and once more on the way out."""
    tails = {name: Tail(path) for name, path in logs.items()}
    try:
        while not ended():
            _show(tails, terminal)
            await asyncio.sleep(0.1)
    finally:
        _show(tails, terminal)


def keep_small(logs: Iterable[Path]) -> None:
    """A file that is too large is set aside once; its writers append, so they go on in the emptied one."""
    for path in logs:
        if path.exists() and path.stat().st_size > LARGEST_BYTES:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            with path.open("r+b") as file:
                file.truncate(0)


def last_lines(path: Path, count: int) -> list[str]:
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 64_000))
        return file.read().decode("utf-8", "replace").splitlines()[-count:]


def _show(tails: dict[str, Tail], terminal: Terminal) -> None:
    for name, tail in tails.items():
        for line in tail.lines():
            terminal.show(name, line)
