"""Rounds of cells on worlds side by side. A cell and its seed say all that is drawn; the rest is chance."""

import asyncio
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from deploy.local.stack import ROOT
from tests.faults.arena import Arena, opened_arena
from tests.faults.cells import CELLS
from tests.faults.harness.checker import Violation
from tests.faults.harness.history import History
from tests.faults.trial import Trial

FOLDER = ROOT / "var" / "test" / "faults"
_CELL_SECONDS = 400.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One cell in one round."""

    round: int
    cell: str
    seed: int


@dataclass(slots=True)
class Report:
    turn: Turn
    seconds: float = 0.0
    rows: int = 0
    faults: int = 0
    events: int = 0
    took: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    kept: Path | None = None


Tell = Callable[[Report], None]


def turns(cells: Iterable[str], rounds: int, seed: int) -> list[Turn]:
    """The longest cell of a round first, so that none is left alone at its end."""
    ordered = sorted(cells, key=lambda name: -CELLS[name].seconds)
    return [Turn(number + 1, cell, seed + number) for number in range(rounds) for cell in ordered]


async def play(planned: Sequence[Turn], jobs: int, tell: Tell) -> list[Report]:
    """All turns, on so many worlds at a time."""
    left, reports = deque(planned), list[Report]()

    def note(report: Report) -> None:
        reports.append(report)
        tell(report)

    opening = asyncio.Lock()  # alembic keeps what it works on in globals
    async with asyncio.TaskGroup() as group:
        for number in range(min(jobs, len(planned))):
            group.create_task(_job(FOLDER / f"job-{number}", left, note, opening))
    return reports


async def _job(folder: Path, left: "deque[Turn]", note: Tell, opening: asyncio.Lock) -> None:
    """A world that saw a violation is not used again: it may be what it left behind that the next cell sees."""
    while left:
        shutil.rmtree(folder, ignore_errors=True)
        async with AsyncExitStack() as open_:
            async with opening:
                arena = await open_.enter_async_context(opened_arena(folder, {}))
            while left:
                report = await play_one(left.popleft(), arena)
                note(report)
                if report.violations:
                    break


async def play_one(turn: Turn, arena: Arena) -> Report:
    report, began = Report(turn), time.monotonic()
    async with arena.world.round(f"{turn.cell}-{turn.seed}") as told:
        trial = Trial(arena, told, Random(f"{turn.cell} {turn.seed}"))
        try:
            async with asyncio.timeout(_CELL_SECONDS):
                await CELLS[turn.cell].act(trial)
                await arena.until_quiet()
                report.violations += _in_words(await told.violations())
        except Exception as error:  # a cell that cannot be played proves nothing: that is no success
            report.violations.append(f"{type(error).__name__}: {error}"[:2000])
        finally:
            arena.faulty.heal()
    report.violations += trial.violations
    counted = Counter(
        entry["message"]["type"] if entry["kind"] == "frame" else entry["kind"] for entry in told.history.entries
    )
    report.faults, report.events = counted["fault"], counted["event"]
    report.rows, report.took, report.seconds = trial.rows, trial.took, time.monotonic() - began
    if report.violations:
        report.kept = _keep(arena, told.history, turn)
    else:
        told.history.path.unlink()
    return report


def _in_words(found: Sequence[Violation]) -> list[str]:
    """Every name, with an example: a round that fails, fails in many rows alike."""
    counted = Counter((one.name, one.of) for one in found)
    examples = {(one.name, one.of): one.detail for one in reversed(found)}
    return [f"{name} of {of}, {count} times: {examples[name, of]}" for (name, of), count in counted.items()]


def _keep(arena: Arena, history: History, turn: Turn) -> Path:
    """History and logs, where the next cell does not sweep them away."""
    kept = FOLDER / "failed" / f"{turn.cell}-{turn.seed}"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    shutil.copyfile(history.path, kept / "history.jsonl")
    shutil.copytree(arena.world.folder / "log", kept / "log")
    shutil.copytree(arena.world.folder / "servers" / "log", kept / "servers")
    return kept
