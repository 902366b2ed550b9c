"""Uploaded files become data rows: checked by their header, put into the object store under their hash."""

import asyncio
from collections.abc import AsyncIterable
from dataclasses import dataclass, field

from services.api.data_rows.candidates import Candidate, Intake, UploadedFile, of_file, refusal
from services.api.data_rows.schemas import LineError, LineResult
from services.api.data_rows.service import import_data_rows
from services.api.multipart import Part
from services.api.resources import OpenWork
from shared.errors import Malformed, TooLarge
from shared.object_store import key_of

MAX_FILES = 1000
_MAX_KEY_LENGTH = 500
_FILES_A_PART = 50
_FIELDS_A_FILE = 2


@dataclass(slots=True)
class Upload:
    """A field `global_key` names the file after it; without one the file's own name does."""

    open_work: OpenWork
    intake: Intake
    _key: str | None = None
    _files: int = 0
    _fields: int = 0
    _part: list[Candidate | LineResult] = field(default_factory=list)
    _results: list[LineResult] = field(default_factory=list)

    async def run(self, parts: AsyncIterable[Part]) -> list[LineResult]:
        """One result a file. What was stored before the body turned out malformed stays, and a repeat finds it."""
        async for part in parts:
            if part.filename is None:
                self._note_field(part)
                continue
            self._files += 1
            if self._files > MAX_FILES:
                await self._flush()
                detail = f"at most {MAX_FILES} files are taken at once; those before are stored, send the rest again"
                raise TooLarge(detail, code="too_many_files")
            self._part.append(await self._take(part))
            self._key = None
            if len(self._part) >= _FILES_A_PART:
                await self._flush()
        await self._flush()
        if not self._results:
            raise Malformed("there is no file in the upload", code="no_files")
        return self._results

    def _note_field(self, part: Part) -> None:
        self._fields += 1
        if self._fields > _FIELDS_A_FILE * MAX_FILES:
            raise TooLarge("there are more fields than files could need", code="too_many_fields")
        if part.name == "global_key" and part.content is not None:
            self._key = part.content.decode(errors="replace")

    async def _take(self, part: Part) -> Candidate | LineResult:
        key = self._key if self._key is not None else part.filename or ""
        problem = self._problem(key)
        if problem is not None:
            return refusal(self._files, None, problem)
        file = UploadedFile(self._files, key, part.content)
        # Hashing and Pillow's parser release the lock of the interpreter for most of their time.
        candidate = await asyncio.to_thread(of_file, self.intake, file)
        if isinstance(candidate, Candidate) and candidate.row.uri is not None and file.content is not None:
            await self.intake.store.put(key_of(candidate.row.uri) or "", file.content)
        return candidate

    def _problem(self, key: str) -> LineError | None:
        if not 1 <= len(key) <= _MAX_KEY_LENGTH or "\0" in key:
            return LineError(code="invalid_global_key", detail=f"a global_key has 1 to {_MAX_KEY_LENGTH} characters")
        return None

    async def _flush(self) -> None:
        if not self._part:
            return
        async with self.open_work() as work:
            self._results += await import_data_rows(work, self.intake, self._part)
        self._part.clear()
