"""`event_latency` and `slow_client`: 20 events a second to 1,000 subscribers, from the commit to the frame received.

`slow_client` takes phases without and with one client more, that never reads and comes back when it is closed.
"""

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from tests.bench.measure import Measurement, machine
from tests.bench.notifier.stage import PATIENCE_SECONDS, NotifierStage, Program, notifier_stage
from tests.bench.notifier.unread import Unread

_CLIENTS, _PER_SECOND = 1_000, 20
_EVENTS, _PHASE_EVENTS, _PHASES = 400, 300, 3
_WARM = 40

Milliseconds = NDArray[np.float64]


async def measure() -> Measurement:
    async with notifier_stage("latency") as stage, stage.crowd(_CLIENTS, keeps="times") as crowd:
        await _phase(stage, crowd, _WARM)
        taken = await _phase(stage, crowd, _EVENTS)
    low, middle, p99, high = (float(np.percentile(taken, part)) for part in (0, 50, 99, 100))
    sys.stderr.write(f"  median {middle:.1f} ms, p99 {p99:.1f} ms, longest {high:.1f} ms\n")
    return Measurement(
        name="event_latency",
        value=round(p99, 1),
        unit="ms, p99",
        goal="at most 25",
        ratio=None,
        spread=(round(low, 1), round(high, 1)),
        pairs=_EVENTS,
        cpu_us_per_item=None,
        anchor="none: the goal is a time",
        machine=machine(),
    )


async def measure_slow_client() -> Measurement:
    async with notifier_stage("slow-client") as stage, stage.crowd(_CLIENTS, keeps="times") as crowd:
        await _phase(stage, crowd, _WARM)
        added = []
        for number in range(_PHASES):
            alone = _p99(await _phase(stage, crowd, _PHASE_EVENTS))
            async with _unread(stage) as closed:
                beside = _p99(await _phase(stage, crowd, _PHASE_EVENTS))
            added.append(beside - alone)
            sys.stderr.write(
                f"  {number + 1}: p99 {alone:.1f} ms without, {beside:.1f} ms with; it was closed {len(closed)} times\n"
            )
            if not closed:
                raise RuntimeError("the slow client was never closed: it was not slow enough to measure")
    return Measurement(
        name="slow_client",
        value=round(statistics.median(added), 1),
        unit="ms more, p99 of the others",
        goal="at most 2",
        ratio=None,
        spread=(round(min(added), 1), round(max(added), 1)),
        pairs=_PHASES,
        cpu_us_per_item=None,
        anchor="the same 1,000 subscribers without it, in turns",
        machine=machine(),
    )


async def _phase(stage: NotifierStage, crowd: Program, events: int) -> Milliseconds:
    """From each commit to each client, in milliseconds."""
    first, loop = await stage.head() + 1, asyncio.get_running_loop()
    committed, due = [], loop.time()
    for _ in range(events):
        await asyncio.sleep(due - loop.time())
        due += 1 / _PER_SECOND
        await stage.log(1)
        committed.append(stage.commits.last)
    told = await crowd.ask(do="wait", offset=first + events - 1, seconds=PATIENCE_SECONDS)
    if told["gaps"] or told["lost"]:
        raise RuntimeError(f"clients missed events: {told}")
    file = stage.folder / "times"
    count = (await crowd.ask(do="times", file=str(file)))["count"]
    offsets, times = np.fromfile(file, dtype=np.int64).reshape(2, count)
    wanted = offsets >= first
    if int(wanted.sum()) != events * _CLIENTS:
        raise RuntimeError(f"{int(wanted.sum())} messages, not {events} for each of {_CLIENTS}")
    return (times[wanted] - np.array(committed, dtype=np.int64)[offsets[wanted] - first]) / 1e6


def _p99(taken: Milliseconds) -> float:
    return float(np.percentile(taken, 99))


@asynccontextmanager
async def _unread(stage: NotifierStage) -> AsyncIterator[list[int]]:
    """One client that never reads, for as long as this is open. The list has an item for each time it was closed."""
    closed: list[int] = []
    client = Unread(stage)

    async def stay() -> None:
        while True:
            await client.until_closed()
            closed.append(1)

    await client.connect()
    task = asyncio.create_task(stay())
    yield closed
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    client.close()
