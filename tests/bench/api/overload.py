"""Five times what the api takes, by clients that do not wait for one another: how much it still does, and how soon all
is as before.

The peak is what a number of clients gets that each wait for their answer: the number with which it is highest is found
out first, and the peak measured before and after each overload, since the machine is not always as quick. Around the
overload comes half of the peak. What is refused must say when to come again. Both rates are of the good answers that
came within a span, once work is under way: more clients have more answers still to come at its end, which are no rate.
"""

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.api.clients import LOST, Asked, Clients
from tests.bench.api.office import Office, opened
from tests.bench.api_stage import p99
from tests.bench.measure import Measurement, Pairs, cpu_seconds, machine
from tests.bench.stage import Stage, staged
from tests.support.stand_ins import answers_constant

_SLUG, _ROWS, _MEMBERS = "answers-constant", 2_000, 8
_PAIRS, _TIMES = 3, 5
_CLIENTS, _PEAK_SECONDS = (8, 16, 32), 4.0
_LEAD_SECONDS = 0.5
_CALM_SECONDS, _OVERLOAD_SECONDS, _AFTER_SECONDS = 5.0, 10.0, 8.0
_WINDOW_SECONDS = 0.5
_TICK_SECONDS = 0.002
_LOOKS_AN_IMPORT = 20
_REFUSED = (429, 503)


@dataclass(frozen=True)
class _Round:
    peak: float
    goodput: float
    refused: int
    recovery: float
    """Seconds from the end of the overload until all is as before; at most what was looked at."""


async def measure() -> Measurement:
    async with staged("overload", [answers_constant()]) as stage:
        office = await opened(stage, _SLUG, _ROWS, labelers=0, editors=_MEMBERS)
        load = _Load(Clients(stage.api_url), _calls(office))
        await load.waiting(_CLIENTS[0], 2.0)  # which warms
        clients = await _best(load)
        rounds = [await _round(load, clients, _api_pid(stage)) for _ in range(_PAIRS)]
        load.clients.close()
    pairs = Pairs([one.goodput for one in rounds], [one.peak for one in rounds])
    return Measurement(
        name="overload",
        value=round(max(one.recovery for one in rounds), 1),
        unit="s until all is as before, the longest",
        goal=f"ratio: goodput at {_TIMES} times the peak over the peak, at least 0.9; recovery within 5 s",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=_PAIRS,
        cpu_us_per_item=None,
        anchor=f"peak: {statistics.median(pairs.anchor):.0f} requests/s, {clients} clients that wait, before and after",
        machine=machine(),
    )


async def _best(load: "_Load") -> int:
    """The number of clients that get most, of two tries each."""
    rates = dict.fromkeys(_CLIENTS, 0.0)
    for _ in range(2):
        for clients in _CLIENTS:
            rates[clients] += await load.waiting(clients, _PEAK_SECONDS) / 2
    sys.stderr.write(f"  {', '.join(f'{clients} clients: {rate:.0f}/s' for clients, rate in rates.items())}\n")
    return max(_CLIENTS, key=rates.__getitem__)


async def _round(load: "_Load", clients: int, api: int) -> _Round:
    peak = await load.waiting(clients, _PEAK_SECONDS)
    calm = await load.offered(peak / 2, _CALM_SECONDS)
    cpu, own = cpu_seconds(api), time.process_time()
    beyond = await load.offered(peak * _TIMES, _OVERLOAD_SECONDS)
    cpu, own = cpu_seconds(api) - cpu, time.process_time() - own
    after = await load.offered(peak / 2, _AFTER_SECONDS)
    end = beyond[0].due + _OVERLOAD_SECONDS
    peak_after = await load.waiting(clients, _PEAK_SECONDS)
    found = _Round(
        (peak + peak_after) / 2,
        _goodput(beyond, beyond[0].due + _LEAD_SECONDS, end),
        sum(asked.status in _REFUSED for asked in beyond),
        _recovery(after, end, 2 * _slow([asked.seconds for asked in calm])),
    )
    _tell(found, calm, beyond, cpu, own)
    return found


class _Load:
    def __init__(self, clients: Clients, calls: Iterator[tuple[str, bytes]]) -> None:
        self.clients = clients
        self._calls = calls

    async def waiting(self, clients: int, seconds: float) -> float:
        """Good answers a second to so many clients, each of which waits for one before it asks again."""
        asked: list[Asked] = []
        since = time.perf_counter() + _LEAD_SECONDS
        end = since + seconds

        async def client() -> None:
            while time.perf_counter() < end:
                asked.append(await self.clients.ask(*next(self._calls)))

        await asyncio.gather(*(client() for _ in range(clients)))
        return _goodput(asked, since, end)

    async def offered(self, rate: float, seconds: float) -> list[Asked]:
        """So many requests a second, evenly, whatever becomes of those before. Raises RuntimeError for bad answers."""
        asked: list[Asked] = []
        open_ones, all_answered = 0, asyncio.Event()

        def answered(_: Asked) -> None:
            nonlocal open_ones
            open_ones -= 1
            if not open_ones:
                all_answered.set()

        began = time.perf_counter()
        while (due := began + len(asked) / rate) < began + seconds:
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(max(early, _TICK_SECONDS))
                continue
            open_ones += 1
            asked.append(Asked(*next(self._calls), due))
            self.clients.send(asked[-1], answered)
            if len(asked) % 16 == 0:
                await asyncio.sleep(0)  # answers come in between, though this is behind
        all_answered.clear()
        async with asyncio.timeout(60):
            while open_ones:
                await all_answered.wait()
        _check(asked)
        return asked


def _calls(office: Office) -> Iterator[tuple[str, bytes]]:
    """Looks by all members in turns, and now and then an import."""
    looks = [office.looks(key, office.path) for key in office.editors]
    number = 0
    while True:
        number += 1
        member = number % len(looks)
        if number % _LOOKS_AN_IMPORT:
            yield looks[member][number % len(looks[member])]
        else:
            yield office.rows_to_import(office.editors[member])


def _is_good(asked: Asked) -> bool:
    return asked.status in {200, 201}


def _goodput(asked: list[Asked], since: float, end: float) -> float:
    return sum(_is_good(one) and since <= one.ended < end for one in asked) / (end - since)


def _check(asked: list[Asked]) -> None:
    for one in asked:
        if not _is_good(one) and not (one.status in _REFUSED and one.says_when):
            what = "no answer" if one.status == LOST else f"{one.status} {one.body[:300]!r}"
            raise RuntimeError(f"{one.call}: {what}")


def _recovery(after: list[Asked], end: float, slow: float) -> float:
    """From the end of the overload to the first window in which nothing is refused and hardly anything is slow."""
    began = after[0].due
    windows: dict[int, list[Asked]] = {}
    for asked in after:
        windows.setdefault(int((asked.due - began) / _WINDOW_SECONDS), []).append(asked)
    for number, window in sorted(windows.items()):
        if all(map(_is_good, window)) and _slow([asked.seconds for asked in window]) <= slow:
            return began - end + number * _WINDOW_SECONDS
    return _AFTER_SECONDS


def _slow(seconds: list[float]) -> float:
    """Nine of ten are quicker."""
    return statistics.quantiles(seconds, n=10)[-1]


def _api_pid(stage: Stage) -> int:
    process = stage.stack.status().services["api"].process
    if process is None:
        raise RuntimeError("there is no api")
    return process.pid


def _tell(found: _Round, calm: list[Asked], beyond: list[Asked], cpu: float, own: float) -> None:
    good = [asked.seconds * 1000 for asked in beyond if _is_good(asked)]
    counts = Counter(asked.status for asked in beyond)
    sys.stderr.write(
        f"  peak {found.peak:.0f}/s, beyond it {found.goodput:.0f}/s good of {len(beyond) / _OVERLOAD_SECONDS:.0f}/s"
        f" ({', '.join(f'{status}: {count}' for status, count in sorted(counts.items()))});"
        f" good ones p99 {p99(good):.0f} ms, calm {p99([asked.seconds * 1000 for asked in calm]):.0f} ms;"
        f" recovery {found.recovery:.1f} s; api {cpu / _OVERLOAD_SECONDS:.2f} of a core, clients"
        f" {own / _OVERLOAD_SECONDS:.2f}, {own / len(beyond) * 1e6:.0f} us a request\n"
    )
