"""How a figure is taken: ours beside the limit, in turns, in one run; the median of the ratios with its spread."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measurement:
    """One line of `make bench`. What does not apply is None; `spread` is the lowest and the highest of `pairs`."""

    name: str
    value: float | None
    unit: str
    goal: str
    ratio: float | None
    spread: tuple[float, float] | None
    pairs: int
    cpu_us_per_item: float | None
    anchor: str
    machine: str

    def print(self) -> None:
        sys.stdout.write(json.dumps(asdict(self)) + "\n")
        sys.stdout.flush()


@dataclass(frozen=True)
class Pairs:
    """Rates of ours and of the anchor, taken in turns."""

    ours: list[float]
    anchor: list[float]

    @property
    def ratios(self) -> list[float]:
        return [ours / anchor for ours, anchor in zip(self.ours, self.anchor, strict=True)]

    @property
    def ratio(self) -> float:
        return round(statistics.median(self.ratios), 3)

    @property
    def spread(self) -> tuple[float, float]:
        return round(min(self.ratios), 3), round(max(self.ratios), 3)


async def in_turns(ours: Callable[[], Awaitable[float]], anchor: Callable[[], Awaitable[float]], pairs: int) -> Pairs:
    """Each gives a rate in items a second. The order changes with every pair, so that a slow minute hurts both."""
    taken = Pairs([], [])
    for index in range(pairs):
        first, second = ((ours, taken.ours), (anchor, taken.anchor))[:: 1 if index % 2 else -1]
        for measure, rates in (first, second):
            rates.append(await measure())
        sys.stderr.write(f"  pair {index + 1}: ours {taken.ours[-1]:.1f}/s, anchor {taken.anchor[-1]:.1f}/s\n")
    return taken


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, no GPU"
