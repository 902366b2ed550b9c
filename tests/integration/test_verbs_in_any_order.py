"""Random verbs between random steps of workers: every answer is that of the table of verbs, and the promises hold."""

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, get_args
from uuid import UUID

import pytest

from services.api.model_runs.transitions import MOVES
from services.inference import runs, segments, writing
from services.inference.failures import RowFailed
from services.inference.results import Failed, Outcomes
from services.inference.segments import Claim, LeaseLost
from shared.contracts.events import TERMINAL_STATES
from shared.contracts.run_verbs import OPEN, VERBS, RunVerb, allowed_verbs
from shared.database.tables import RowOutcomeRow
from shared.database.unit_of_work import unit_of_work
from shared.errors import Conflict
from shared.signals import Signals
from shared.telemetry import logger
from tests.support.leases import LEASE_SECONDS, claim, silent_for, succeeded
from tests.support.verbs import counted, do, events
from tests.support.workers import submit_numbers
from tests.support.world import World

_SEEDS = range(6)
_STEPS = 80
_RARELY = 0.08

log = logger(__name__)


@dataclass
class Chance:
    """Random verbs and random steps of workers on one run, each seen to do what the table of verbs says."""

    world: World
    signals: Signals
    run_id: UUID
    rows: list[UUID]
    luck: random.Random
    held: list[Claim] = field(default_factory=list)
    tries: Counter[UUID] = field(default_factory=Counter)
    settled: dict[UUID, RowOutcomeRow] = field(default_factory=dict)

    async def step(self) -> str:
        work = [self.claim, self.store, self.store, self.end_segment]
        name = self.luck.choice([self.verb, self.verb, *work, *work])
        if self.luck.random() < _RARELY:
            name = self.luck.choice([self.fail, self.fall_silent])
        said = await name()
        await self.check()
        return said

    async def verb(self) -> str:
        wanted: RunVerb = self.luck.choice(get_args(RunVerb))
        if wanted in {"cancel", "undo"} and self.luck.random() > _RARELY:  # after them little can happen
            wanted = self.luck.choice(("resume", "retry_failed"))
        run = await self.world.run(self.run_id)
        before = len(await events(self.world, self.run_id))
        outcomes = Counter(o.state for o in await self.world.outcomes(self.run_id))
        changes = wanted in allowed_verbs(run.state, "run", hides_pending=run.hides_pending)  # type: ignore[arg-type]
        try:
            await do(self.world, self.signals, wanted, self.run_id)
            refused = None
        except Conflict as conflict:
            refused = conflict.code
        if changes and refused is not None:
            assert refused == "nothing_to_retry"
            assert outcomes == {"succeeded": run.total}
        elif run.state not in VERBS[wanted]:
            no_op = (wanted == "pause" and run.state == "paused") or (wanted == "resume" and run.state in OPEN)
            assert refused == (None if no_op else "illegal_transition"), (wanted, run.state, refused)
        told = await events(self.world, self.run_id)
        assert len(told) - before == (1 if changes and refused is None else 0)
        return f"{wanted} while {run.state}: {refused or 'done'}"

    async def claim(self) -> str:
        try:
            taken = await claim(self.world, self.signals)
        except LeaseLost:
            return "claimed too late"
        if taken is not None:
            done = {o.data_row_id for o in await self.world.outcomes(self.run_id)}
            assert not done & set(taken.pending), "what has an outcome is not done again"
            self.held.append(taken)
        return "claim" if taken else "nothing to claim"

    async def store(self) -> str:
        if not self.held:
            return "nothing held"
        claim = self.luck.choice(self.held[-4:])
        done = {o.data_row_id for o in await self.world.outcomes(self.run_id)}
        left = [row for row in claim.pending if row not in done]
        rows = self.luck.sample(left, self.luck.choice((len(left), self.luck.randint(0, len(left)))))
        bad = [row for row in rows if self.luck.random() < 0.3]
        good = [row for row in rows if row not in bad]
        holds = await self._holds(claim)
        try:
            failed = [Failed(row, RowFailed("decode", "undecodable_text", "no text")) for row in bad]
            await writing.store(self.world.sessions, Outcomes.of(claim, [succeeded(row) for row in good], failed))
        except LeaseLost:
            assert not holds
            return "stored too late"
        assert holds, "a worker without its lease has written"
        self.tries.update(rows)
        return f"stored {len(good)} and {len(bad)} failures"

    async def end_segment(self) -> str:
        done = {o.data_row_id for o in await self.world.outcomes(self.run_id)}
        ended = [claim for claim in self.held if set(claim.pending) <= done]
        if not ended:
            return "nothing to end"
        claim = self.luck.choice(ended)
        self.held.remove(claim)
        holds = await self._holds(claim)
        try:
            async with unit_of_work(self.world.sessions, self.signals, "service:inference") as work:
                await segments.finish(work, claim)
        except LeaseLost:
            assert not holds
            return "ended too late"
        return "ended a segment"

    async def fail(self) -> str:
        async with unit_of_work(self.world.sessions, self.signals, "service:inference") as work:
            await runs.fail(work, self.run_id, "Triton serves another version")
        return "failed"

    async def fall_silent(self) -> str:
        await silent_for(self.world, LEASE_SECONDS + 1)
        return "silence"

    async def _holds(self, claim: Claim) -> bool:
        return any(
            (one.id, one.generation, one.state) == (*claim.lease, "leased")
            for one in await self.world.segments(self.run_id)
        )

    async def check(self) -> None:
        run = await self.world.run(self.run_id)
        outcomes = {o.data_row_id: o for o in await self.world.outcomes(self.run_id)}
        shown = await counted(self.world, self.run_id)
        assert run.total == len(self.rows)
        if run.state in {"completed", "completed_with_errors"}:
            assert set(outcomes) == set(self.rows)
            assert (run.state == "completed") == (shown.failed == 0)
        unfinished = [s for s in await self.world.segments(self.run_id) if s.state in {"open", "leased"}]
        assert bool(unfinished) == (run.state not in TERMINAL_STATES)
        for row, outcome in outcomes.items():
            assert outcome.attempts == self.tries[row]
            if row in self.settled:
                assert outcome.created_at == self.settled[row].created_at, "a success is never touched"
            if outcome.state == "succeeded":
                self.settled[row] = outcome
        assert set(self.settled) <= set(outcomes)
        _check_events(await events(self.world, self.run_id), run.execution)


def _check_events(told: list[dict[str, Any]], execution: int) -> None:
    moves = [one for one in told if one["type"] != "undone"]
    assert moves[0]["state"] == "queued"
    for before, after in pairwise(moves):
        assert after["state"] in MOVES[before["state"]], (before, after)
        ended = before["state"] in TERMINAL_STATES
        assert after["execution"] == before["execution"] + ended, "a terminal event is its execution's last"
    assert moves[-1]["execution"] == execution
    ends = [one for one in moves if one["state"] in TERMINAL_STATES]
    assert [one["execution"] for one in ends] == list(range(1, len(ends) + 1))
    for end in ends:
        done = end["succeeded"] + end["failed"] + end["skipped"]
        assert done <= end["total"]
        assert done == end["total"] or end["state"] in {"cancelled", "failed"}


@pytest.mark.parametrize("seed", _SEEDS)
async def test_verbs_in_any_order_keep_the_promises(world: World, signals: Signals, seed: int) -> None:
    run_id, rows = await submit_numbers(world, 12, segment_size=5)
    chance = Chance(world, signals, run_id, rows, random.Random(seed))
    for number in range(_STEPS):
        log.info("step", seed=seed, number=number, said=await chance.step())
