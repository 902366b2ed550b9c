"""200,000 short inline texts through a stand-in that answers at once: is the last tenth as fast as the first, and does
the memory of every process stay flat?

`LONG_RUN_ROWS` in the environment makes it smaller, for trying: the measurement then has another name, and is not
kept. Memory is what is resident of a process and its
children without what they share; its growth is from the second fifth of the run to the last.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from deploy.local.demo.client import Json
from tests.bench.measure import Measurement, machine
from tests.bench.stage import Stage, staged
from tests.support.stand_ins import answers_constant
from tests.support.texts import configuration, make_known, set_up_texts

_ALL = 200_000
_ROWS = int(os.environ.get("LONG_RUN_ROWS", _ALL))
_SLUG = "answers-constant"
_LOOK_SECONDS = 0.5
_SECONDS = 600
_MIB = 1024 * 1024


@dataclass
class _Course:
    """What was seen while the run went on: when, how many rows were done, and bytes by service."""

    moments: list[float] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    memory: list[dict[str, int]] = field(default_factory=list)

    def rate(self, start: float, end: float) -> float:
        """Rows a second between two shares of the run."""
        return (end - start) * _ROWS / (self._when(end) - self._when(start))

    def growth(self) -> dict[str, float]:
        """MiB a service."""
        early, late = self._between(0.2, 0.4), self._between(0.8, 1.0)
        return {name: (_median(late, name) - _median(early, name)) / _MIB for name in self.memory[0]}

    def _when(self, share: float) -> float:
        """Between two looks, as if it had gone evenly."""
        wanted = share * _ROWS
        after = next(index for index, done in enumerate(self.done) if done >= wanted)
        if after == 0:
            return self.moments[0]
        before, part = after - 1, (wanted - self.done[after - 1]) / (self.done[after] - self.done[after - 1])
        return self.moments[before] + part * (self.moments[after] - self.moments[before])

    def _between(self, start: float, end: float) -> list[dict[str, int]]:
        looks = zip(self.done, self.memory, strict=True)
        return [memory for done, memory in looks if start * _ROWS <= done <= end * _ROWS]


async def measure() -> Measurement:
    async with staged("long-run", [answers_constant()]) as stage:
        began = time.perf_counter()
        frontend = await set_up_texts(stage.gateway, map(str, range(_ROWS)))
        sys.stderr.write(f"  {_ROWS} rows imported in {time.perf_counter() - began:.1f} s\n")
        await make_known(frontend, stage.notifier_url, _SLUG)
        wanted = await configuration(frontend, _SLUG)
        course = await _followed(stage, await stage.gateway.post(f"{frontend.path}/model-runs", wanted))
    first, last, growth = course.rate(0, 0.1), course.rate(0.9, 1), course.growth()
    worst = max(growth, key=growth.__getitem__)
    tenths = ", ".join(f"{course.rate(tenth / 10, (tenth + 1) / 10):.0f}" for tenth in range(10))
    sys.stderr.write(f"  rows a second by tenths: {tenths}\n")
    sys.stderr.write(f"  growth in MiB: {', '.join(f'{name} {by:+.1f}' for name, by in growth.items())}\n")
    return Measurement(
        name="long_run" if _ROWS == _ALL else f"long_run_{_ROWS}",
        value=round(growth[worst], 1),
        unit=f"MiB, the greatest growth of a service ({worst})",
        goal="ratio of the last tenth's speed to the first's at least 0.95; memory flat",
        ratio=round(last / first, 3),
        spread=None,
        pairs=1,
        cpu_us_per_item=None,
        anchor=f"the first tenth of {_ROWS} rows: {first:.0f} rows/s",
        machine=machine(),
    )


async def _followed(stage: Stage, run: Json) -> _Course:
    course, processes = _Course(), _processes(stage)
    async with asyncio.timeout(_SECONDS):
        while True:
            now = await stage.gateway.get(f"/v1/model-runs/{run['id']}")
            course.moments.append(time.time())
            course.done.append(now["succeeded"] + now["failed"])
            course.memory.append(_memory(stage, processes))
            if now["finished_at"]:
                # We look up to half a second late, which is much of the last tenth.
                course.moments[-1] = datetime.fromisoformat(now["finished_at"]).timestamp()
                break
            await asyncio.sleep(_LOOK_SECONDS)
    if now["succeeded"] != _ROWS:
        raise RuntimeError(f"the run ended as {now['state']} with {now['succeeded']} rows")
    return course


def _processes(stage: Stage) -> dict[str, int]:
    """The process of every service that stays. Raises RuntimeError when one has none that is ready."""
    staying = {name: one for name, one in stage.stack.status().services.items() if one.state != "done"}
    ready = {name: one.process.pid for name, one in staying.items() if one.process and one.state == "ready"}
    if away := staying.keys() - ready.keys():
        raise RuntimeError(f"not ready: {', '.join(sorted(away))}")
    return ready


def _memory(stage: Stage, at_first: dict[str, int]) -> dict[str, int]:
    if (now := _processes(stage)) != at_first:
        raise RuntimeError(f"a service was started again: {at_first}, then {now}")
    children = _children()
    return {name: sum(_own_bytes(pid) for pid in _family(pid, children)) for name, pid in now.items()}


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
        found.setdefault(parent, []).append(int(folder.name))
    return found


def _family(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, []):
        yield from _family(child, children)


def _own_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = dict(line.split(":", 1) for line in lines)
    return sum(int(sizes[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile") if name in sizes)


def _median(looks: list[dict[str, int]], name: str) -> float:
    return statistics.median(look[name] for look in looks)
