"""Records on disk, in buckets by data row: all of one data row in one bucket, each bucket small enough to be held.

An upload may name its data rows in any order; what is known of one must be together before it is stored.
"""

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias
from uuid import UUID

_BUFFERED, _LEAST_BUFFERED = 50_000, 20
_BUCKET_BYTES = 1024 * 1024
_MOST_BUCKETS = 4_096

Record: TypeAlias = tuple[Any, ...]
"""Begins with the data row's id as bytes; the rest is numbers, texts and None."""


class Spill:
    """Use as a context: the folder goes with it. `size` is that of the upload."""

    def __init__(self, size: int) -> None:
        self.buckets = min(max(size // _BUCKET_BYTES, 1), _MOST_BUCKETS)
        self._most_waiting = max(_BUFFERED // self.buckets, _LEAST_BUFFERED)
        self._waiting: list[list[Record]] = [[] for _ in range(self.buckets)]

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="prelabel-import-")
        self._ids = (Path(self._folder.name) / "ids").open("w+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ids.close()
        self._folder.cleanup()

    def add(self, record: Record) -> None:
        row: bytes = record[0]
        number = int.from_bytes(row[-4:], "big") % self.buckets
        waiting = self._waiting[number]
        waiting.append(record)
        if len(waiting) >= self._most_waiting:
            self._flush(number)

    def bucket(self, number: int) -> Iterator[Sequence[Record]]:
        """Its records in the order they came, some at a time."""
        self._flush(number)
        path = self._path(number)
        if not path.exists():
            return
        with path.open("rb") as file:
            while True:
                try:
                    # Written by this process, into a folder of its own.
                    yield pickle.load(file)
                except EOFError:
                    return

    def data_rows(self) -> list[UUID]:
        """Every data row there is something about, in order."""
        for number in range(self.buckets):
            self._flush(number)
        self._ids.seek(0)
        content = self._ids.read()
        return [UUID(bytes=one) for one in sorted({content[at : at + 16] for at in range(0, len(content), 16)})]

    def _flush(self, number: int) -> None:
        waiting = self._waiting[number]
        if not waiting:
            return
        # Opened each time: thousands of buckets would be more files than a process may hold.
        with self._path(number).open("ab") as file:
            pickle.dump(waiting, file, pickle.HIGHEST_PROTOCOL)
        self._ids.write(b"".join({record[0] for record in waiting}))
        waiting.clear()

    def _path(self, number: int) -> Path:
        return Path(self._folder.name) / str(number)
