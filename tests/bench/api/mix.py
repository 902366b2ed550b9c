"""Whole runs beside a team at work, against the same runs alone, in turns: what the api takes from a run, and how it
answers meanwhile.

Twenty labelers decide on a data row every five seconds each, ten open frontends look at something each second, and a
program imports ten data rows a second: 23 requests a second.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice

from tests.bench.api.clients import Clients
from tests.bench.api.office import People, opened, until
from tests.bench.api_stage import p99
from tests.bench.measure import Measurement, in_turns, machine
from tests.bench.stage import staged
from tests.bench.whole_runs import WholeRuns
from tests.support.stand_ins import sleeps
from tests.support.texts import configuration, make_known, set_up_texts

_SLUG = "sleeps"
_ROWS, _REVIEWED, _PAIRS = 8_000, 4_000, 5
_LABELERS, _FRONTENDS = 20, 10
_REVIEW_SECONDS, _LOOK_SECONDS, _IMPORT_SECONDS = 5.0, 1.0, 1.0
_WARM_SECONDS = 2.0

_Act = Callable[[], Awaitable[object]]


@dataclass
class _Costs:
    """CPU seconds of this process, which is the clients', and the time they were taken over."""

    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        return sum(self.cpu) / sum(self.seconds)

    async def of(self, work: Callable[[], Awaitable[float]]) -> float:
        cpu, began = time.process_time(), time.perf_counter()
        try:
            return await work()
        finally:
            self.cpu.append(time.process_time() - cpu)
            self.seconds.append(time.perf_counter() - began)


async def measure() -> Measurement:
    async with staged("api-mix", [sleeps()]) as stage:
        office = await opened(stage, _SLUG, _REVIEWED, _LABELERS, _FRONTENDS)
        frontend = await set_up_texts(stage.gateway, map(str, range(_ROWS)))
        await make_known(frontend, stage.notifier_url, _SLUG)
        runs = WholeRuns(stage.stack, frontend, await configuration(frontend, _SLUG), _ROWS)
        people = People(office, Clients(stage.api_url))
        alone, beside = _Costs(), _Costs()

        async def beside_people() -> float:
            async with _at_work(people, frontend.path):
                return await beside.of(runs.rate)

        pairs = await in_turns(beside_people, lambda: alone.of(runs.rate), _PAIRS)
        people.clients.close()
    _tell(people, alone, beside)
    return Measurement(
        name="api_mix",
        value=round(p99([asked.seconds for asked in people.asked]) * 1000, 1),
        unit="ms, p99 of a request",
        goal="ratio of at least 0.9: the run's share kept; p99 is reported",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=_PAIRS,
        cpu_us_per_item=None,
        anchor="the same run with nobody beside it, in turns",
        machine=machine(),
    )


@asynccontextmanager
async def _at_work(people: People, running: str) -> AsyncIterator[None]:
    """Everybody, evenly spread over their period. What goes wrong for one of them ends the bench."""
    office, stopping = people.office, asyncio.Event()
    reviews: list[_Act] = [partial(people.review, key) for key in office.labelers]
    looks = [_looking(people, key, running, place) for place, key in enumerate(office.editors)]
    imports: list[_Act] = [lambda: people.ask(*office.rows_to_import(office.editors[0]))]
    async with asyncio.TaskGroup() as group:
        everybody = ((_REVIEW_SECONDS, reviews), (_LOOK_SECONDS, looks), (_IMPORT_SECONDS, imports))
        for period, acts in everybody:
            for place, act in enumerate(acts):
                group.create_task(_again(act, period, period * place / len(acts), stopping))
        await asyncio.sleep(_WARM_SECONDS)
        yield
        stopping.set()


async def _again(act: _Act, period: float, after: float, stopping: asyncio.Event) -> None:
    at = asyncio.get_running_loop().time() + after
    await until(at)
    while not stopping.is_set():
        await act()
        at += period
        await until(at)


def _looking(people: People, key: str, running: str, place: int) -> _Act:
    """They do not all look at the same thing at once."""
    looks = people.office.looks(key, running)
    going = islice(cycle(looks), place, None)
    return lambda: people.ask(*next(going))


def _tell(people: People, alone: _Costs, beside: _Costs) -> None:
    by_call: dict[str, list[float]] = defaultdict(list)
    for asked in people.asked:
        by_call[asked.call].append(asked.seconds * 1000)
    for call, taken in sorted(by_call.items()):
        median = sorted(taken)[len(taken) // 2]
        sys.stderr.write(f"  {call}: {len(taken)}, median {median:.1f} ms, p99 {p99(taken):.1f} ms\n")
    sys.stderr.write(
        f"  the clients took {beside.share:.3f} of a core, this process {alone.share:.3f} with nobody beside the run\n"
    )
