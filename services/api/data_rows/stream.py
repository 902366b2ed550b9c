"""Import an NDJSON stream: part by part, each part stored before its lines are answered.

The next part is read while one is stored. Reading goes some lines at a time, or nobody else would have a turn.
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass, field

from services.api.data_rows.candidates import Candidate, Intake, of_line, refusal
from services.api.data_rows.lines import MAX_LINE_BYTES, split_lines
from services.api.data_rows.schemas import LineError, LineResult
from services.api.data_rows.service import import_data_rows
from services.api.resources import OpenWork
from services.api.streaming import BrokenOff
from shared.errors import PrelabelError
from shared.telemetry import logger

LINES_A_PART = 1_000
_LINES_A_TURN = 50
_BYTES_A_PART = 8 * 1024 * 1024
_UNEXPECTED = PrelabelError()

log = logger(__name__)


@dataclass(slots=True)
class StreamImport:
    """`write` takes the answers, each a line of JSON."""

    open_work: OpenWork
    intake: Intake
    write: Callable[[bytes], None]
    _part: list[Candidate | LineResult] = field(default_factory=list)
    _bytes: int = 0
    _storing: asyncio.Task[None] | None = None

    async def run(self, body: AsyncIterable[bytes]) -> None:
        """Never raises: the answer has begun, so what goes wrong is its last line, and what follows is not done."""
        try:
            await self._read(body)
        except BrokenOff:
            log.info("import_broken_off")
        except PrelabelError as error:
            self._answer(refusal(None, None, LineError(code=error.code, detail=error.detail)))
        except Exception:  # the status is sent; a broken connection would hide which lines are stored
            log.exception("import_failed")
            self._answer(refusal(None, None, LineError(code=_UNEXPECTED.code, detail=_UNEXPECTED.detail)))

    async def _read(self, body: AsyncIterable[bytes]) -> None:
        try:
            async for number, line in split_lines(body):
                self._take(number, line)
                if len(self._part) >= LINES_A_PART or self._bytes >= _BYTES_A_PART:
                    await self._hand_over()
                elif len(self._part) % _LINES_A_TURN == 0:
                    await asyncio.sleep(0)
            await self._hand_over()
        finally:  # the answers to what came before come before what went wrong
            await self._stored()

    def _take(self, number: int, line: bytes | None) -> None:
        if line is None:
            error = LineError(code="line_too_long", detail=f"a line has at most {MAX_LINE_BYTES} bytes")
            self._part.append(refusal(number, None, error))
            return
        self._bytes += len(line)
        self._part.append(of_line(self.intake, number, line))

    async def _hand_over(self) -> None:
        """What was read is stored from now on, once what was read before it is."""
        await self._stored()
        if self._part:
            self._storing = asyncio.create_task(self._store(self._part))
            self._part, self._bytes = [], 0

    async def _stored(self) -> None:
        if self._storing is not None:
            await self._storing
            self._storing = None

    async def _store(self, part: Sequence[Candidate | LineResult]) -> None:
        async with self.open_work() as work:
            results = await import_data_rows(work, self.intake, part)
        self._answer(*results)

    def _answer(self, *results: LineResult) -> None:
        self.write("".join(f"{result.model_dump_json()}\n" for result in results).encode())
