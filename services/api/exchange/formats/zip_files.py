"""Zips that are written as they come, flat in memory, and zips of others, read with a bound on everything."""

import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Self

from services.api.exchange.formats.base import Refused, UnusableUpload

MOST_FILES = 500_000
MOST_BYTES_A_FILE = 64 * 1024 * 1024
MOST_BYTES = 4 * 1024**3
_PIECE = 64 * 1024
_UTF8 = 0x800
_DEFLATED, _VERSION = 8, 45
_EPOCH = 0x21  # 1 January 1980: the same rows give the same bytes
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


class StreamedZip:
    """The directory at its end lies in a temporary file until then, and the names that were taken in another."""

    def __init__(self) -> None:
        self._directory: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        # On disk once it grows. Blocks are written one after the other, but each in whatever thread is free.
        self._names = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._names.execute("CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID")
        self._files = self._written = 0

    def takes(self, name: str) -> bool:
        """Whether no file has this name yet; from now on one has."""
        return bool(self._names.execute("INSERT OR IGNORE INTO names VALUES (?)", (name,)).rowcount)

    def add(self, path: str, content: bytes) -> Iterator[bytes]:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        yield from self._file(path, packer.compress(content) + packer.flush(), zlib.crc32(content), len(content))

    def add_file(self, path: str, file: BinaryIO) -> Iterator[bytes]:
        """Of any size: packed into a temporary file first, since what it is packed to stands before it."""
        with tempfile.TemporaryFile() as packed:
            file.seek(0)
            packer, checksum, size = zlib.compressobj(6, zlib.DEFLATED, -15), 0, 0
            while piece := file.read(_PIECE):
                checksum, size = zlib.crc32(piece, checksum), size + len(piece)
                packed.write(packer.compress(piece))
            packed.write(packer.flush())
            length = packed.tell()
            yield from self._file(path, b"", checksum, size, length)
            packed.seek(0)
            while piece := packed.read(_PIECE):
                yield piece

    def end(self) -> Iterator[bytes]:
        start, size = self._written, self._directory.tell()
        self._directory.seek(0)
        while piece := self._directory.read(_PIECE):
            yield piece
        # Always with the records of large zips: readers that know them take these, the others the last one.
        large = (_VERSION, _VERSION, 0, 0, self._files, self._files, size, start)
        yield struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, *large)
        yield struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1)
        files = min(self._files, _FULL16)
        yield struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, files, files, min(size, _FULL32), min(start, _FULL32), 0)

    def close(self) -> None:
        self._directory.close()
        self._names.close()

    def _file(self, path: str, packed: bytes, checksum: int, size: int, length: int | None = None) -> Iterator[bytes]:
        name, length = path.encode(), len(packed) if length is None else length
        common = (_VERSION, _UTF8, _DEFLATED, 0, _EPOCH, checksum)
        sizes = struct.pack("<2Q", size, length)
        local = struct.pack("<4s5HL2L2H", b"PK\x03\x04", *common, _FULL32, _FULL32, len(name), 20)
        yield local + name + struct.pack("<2H", 1, 16) + sizes + packed
        about = struct.pack(
            "<4sH5HL2L5H2L", b"PK\x01\x02", _VERSION, *common, _FULL32, _FULL32, len(name), 28, 0, 0, 0, 0, _FULL32
        )
        self._directory.write(about + name + struct.pack("<2H", 1, 24) + sizes + struct.pack("<Q", self._written))
        self._written += len(local) + len(name) + 20 + length
        self._files += 1


class ReadZip:
    """Nothing of it is ever written to a path of its own choosing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MOST_BYTES

    def __enter__(self) -> Self:
        try:
            self._zip = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error) as error:
            raise UnusableUpload("not_a_zip", f"the upload is no zip that can be read: {error}"[:300]) from error
        if len(self._zip.infolist()) > MOST_FILES:
            raise UnusableUpload("too_many_files", f"a zip has at most {MOST_FILES} files")
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def names(self) -> Sequence[str]:
        return [one.filename for one in self._zip.infolist() if not one.is_dir()]

    def text(self, path: str) -> str:
        """Raises Refused, or UnusableUpload for a zip that unpacks to more than is read."""
        try:
            return b"".join(self._pieces(path)).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Refused("invalid_utf8", "the file is not UTF-8") from error

    def _pieces(self, path: str) -> Iterable[bytes]:
        size = 0
        try:
            # What its directory says of sizes may be a lie, so what comes out is counted.
            with self._zip.open(path) as file:
                while piece := file.read(_PIECE):
                    size += len(piece)
                    self._left -= len(piece)
                    if size > MOST_BYTES_A_FILE:
                        raise Refused("file_too_large", f"a file in a zip has at most {MOST_BYTES_A_FILE} bytes")
                    if self._left < 0:
                        raise UnusableUpload("zip_too_large", f"a zip unpacks to at most {MOST_BYTES} bytes")
                    yield piece
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
            raise Refused("broken_file", f"the file cannot be unpacked: {error}"[:300]) from error
