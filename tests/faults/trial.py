"""One cell at work: a run of a few hundred cheap rows on a world, a moment to break something, and the end of the run.

What clients were told and what the tables hold is judged by the checker of the harness; what only a cell can know
(the right answers, how soon work went on) is looked at here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import asyncpg

from deploy.local.demo.client import Json
from shared.contracts.events import TERMINAL_STATES
from tests.faults.arena import ELSEWHERE, STEADY, Arena
from tests.faults.harness.faults import Faults
from tests.faults.harness.round import Round
from tests.faults.harness.stage import Stage
from tests.faults.harness.world import World
from tests.support.faulty_triton import FaultyTriton

ROWS = 400
END_SECONDS = 150.0
"""However loaded the machine is: a run that has not ended by then is stuck."""
TAKEOVER_SECONDS, RETURN_SECONDS = 15.0, 5.0
"""Promise 7. On a loaded machine more than that is told of; only far beyond it is a violation."""
_FAR_BEYOND = 3
_SHOWN = 12
_PAUSE_SECONDS = 0.05
_AWAY: tuple[type[Exception], ...] = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


@dataclass(frozen=True)
class Attempt:
    """A run under way, and what its rows say."""

    stage: Stage
    run_id: str
    texts: Sequence[str]


@dataclass
class Trial:
    arena: Arena
    told: Round
    random: Random
    violations: list[str] = field(default_factory=list)
    took: dict[str, float] = field(default_factory=dict)
    """Seconds until work went on, by what had been away."""
    rows: int = 0
    _registered: bool = False

    @property
    def world(self) -> World:
        return self.arena.world

    @property
    def faults(self) -> Faults:
        return self.told.faults

    @property
    def faulty(self) -> FaultyTriton:
        return self.arena.faulty

    # --- the run ----------------------------------------------------------------------------------------------------

    async def stage(self, rows: int = ROWS, model: str = STEADY, marks: Sequence[str] = ()) -> tuple[Stage, list[str]]:
        """A project with new texts; a row for each mark is somewhere among them. Two clients watch it."""
        token = f"{self.random.getrandbits(64):016x}"
        texts = [f"{token} {number}" for number in range(rows)]
        for mark, place in zip(marks, self.random.sample(range(rows), len(marks)), strict=True):
            texts[place] += f" {mark}"
        if model == ELSEWHERE and not self._registered:
            await self.arena.register(self.told.gateway)
            self._registered = True
        stage = await self.told.stage(texts, slug=model)
        for name in ("a", "b"):
            await self.told.subscribe(f"{name}{len(self.told.subscribers)}", stage.topic)
        return stage, texts

    async def begin(self, rows: int = ROWS, model: str = STEADY, marks: Sequence[str] = ()) -> Attempt:
        stage, texts = await self.stage(rows, model, marks)
        self.rows += rows
        return Attempt(stage, await stage.submit(), texts)

    async def under_way(self, attempt: Attempt) -> None:
        """Until the first row is stored."""
        await attempt.stage.until_done(attempt.run_id, 1)

    async def moment(self, seconds: float = 3.5) -> None:
        """Some time while the run is under way."""
        await asyncio.sleep(self.random.uniform(0.05, seconds))

    async def ended(self, attempt: Attempt) -> Json:
        try:
            return await attempt.stage.ended(attempt.run_id, seconds=END_SECONDS)
        except TimeoutError:
            run = await attempt.stage.run(attempt.run_id)
            self.wrong(
                f"the run is {run['state']} ({run['state_reason']}) after {END_SECONDS:.0f} s, {run['done']} done"
            )
            return run

    async def completed(self, attempt: Attempt, failed: Mapping[str, str] | None = None) -> Json:
        """The run's end, with the right answer for each row but the marked ones, which failed with these codes."""
        run = await self.ended(attempt)
        wanted = "completed_with_errors" if failed else "completed"
        if run["state"] != wanted:
            self.wrong(f"the run is {run['state']} ({run['state_reason']}), expected {wanted}")
        await self.check_answers(attempt, failed or {})
        return run

    # --- what must be so --------------------------------------------------------------------------------------------

    def note(self, fault: str) -> None:
        self.told.history.fault(fault)

    def wrong(self, what: str) -> None:
        self.violations.append(what)

    async def check_answers(self, attempt: Attempt, failed: Mapping[str, str], *, whole: bool = True) -> None:
        """Each stored row has its own answer, or the failure of its mark. `whole`: and all of them are stored."""
        told = await self.outcomes(attempt)
        if whole and len(told) != len(attempt.texts):
            self.wrong(f"{len(told)} outcomes for {len(attempt.texts)} rows")
        found = [wrong for text, row in told.items() if (wrong := _differs(text, row, failed))]
        if found:
            self.wrong(f"{len(found)} of {len(told)} rows: {'; '.join(found[:_SHOWN])}")

    async def outcomes(self, attempt: Attempt) -> dict[str, Json]:
        """By text: state, stage, code, detail, attempts, and `said`, the class of the highest confidence."""
        found = await self.fetch(
            """
            SELECT c.text, o.state, o.stage, o.code, o.detail, o.attempts, o.execution,
                (SELECT d.model_class FROM detections d
                 WHERE d.model_run_id = o.model_run_id AND d.data_row_id = o.data_row_id
                 ORDER BY d.confidence DESC LIMIT 1) AS said
            FROM row_outcomes o JOIN data_row_contents c ON c.data_row_id = o.data_row_id
            WHERE o.model_run_id = $1
            """,
            attempt.run_id,
        )
        return {row["text"]: row for row in found}

    # --- how soon work goes on --------------------------------------------------------------------------------------

    async def goes_on(self, attempt: Attempt, what: str, limit: float = RETURN_SECONDS) -> None:
        """From now until the next row is stored or the run has ended."""
        before, began = await self._stored(attempt), time.monotonic()
        if before[1]:  # the fault came after the last row
            return
        while await self._stored(attempt) == before:
            if time.monotonic() - began > limit * _FAR_BEYOND:
                self.wrong(f"no row within {limit * _FAR_BEYOND:.0f} s of the return of {what}")
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        self.took[what] = time.monotonic() - began

    async def taken_over(self, attempt: Attempt, pid: int | None) -> None:
        """From now until nothing is left to a process that is dead."""
        began = time.monotonic()
        while await self._held_by(attempt, pid):
            if time.monotonic() - began > TAKEOVER_SECONDS * _FAR_BEYOND:
                self.wrong(f"the segments of a dead worker are not taken over after {time.monotonic() - began:.0f} s")
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        self.took["takeover"] = time.monotonic() - began

    async def _stored(self, attempt: Attempt) -> tuple[int, bool]:
        (row,) = await self.fetch(
            """
            SELECT (SELECT count(*) FROM row_outcomes WHERE model_run_id = $1) AS rows, state
            FROM model_runs WHERE id = $1
            """,
            attempt.run_id,
        )
        return row["rows"], row["state"] in TERMINAL_STATES

    async def _held_by(self, attempt: Attempt, pid: int | None) -> bool:
        found = await self.fetch(
            "SELECT 1 FROM segments WHERE model_run_id = $1 AND state = 'leased' AND holder LIKE $2",
            attempt.run_id,
            f"%:{pid}",
        )
        return bool(found)

    # --- the database -----------------------------------------------------------------------------------------------

    async def fetch(self, query: str, *values: Any) -> list[Json]:
        """Whenever PostgreSQL answers."""
        async with asyncio.timeout(END_SECONDS):
            while True:
                with suppress(*_AWAY):
                    async with self.connected() as connection:
                        return [dict(row) for row in await connection.fetch(query, *values)]
                await asyncio.sleep(_PAUSE_SECONDS)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(self.world.addresses.database_url, timeout=5)
        try:
            yield connection
        finally:
            await connection.close(timeout=5)


def _differs(text: str, row: Json, failed: Mapping[str, str]) -> str | None:
    """In words, when the row has neither its own answer nor the failure of its mark."""
    code = next((code for mark, code in failed.items() if mark in text), None)
    if row["code"] != code:
        return f"{text!r} is {row['state']} {row['code']} ({row['detail']}), expected {code}"
    if code is None:
        return None if row["said"] == parity(text) else f"{text!r} is {parity(text)}, but stored as {row['said']}"
    return None if row["stage"] and row["detail"] and row["attempts"] else f"{text!r} does not say all: {row}"


def parity(text: str) -> str:
    """What the stand-in models say of a text."""
    return ("even", "odd")[sum(text.encode()) % 2]
