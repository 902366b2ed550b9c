"""`event_latency` and `slow_client`: 20 events a second to 1,000 subscribers, from the commit to the frame received.

What the machine itself takes is measured beside `event_latency`, in turns: a bare server that writes one encoded frame
to 1,000 sockets as often, from its first write to the frame received.

`slow_client` takes phases without and with one client more, that never reads and comes back when it is closed.
"""

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.notifier.frames import event_frame
from tests.bench.measure import Measurement, machine
from tests.bench.notifier.stage import PATIENCE_SECONDS, NotifierStage, Program, notifier_stage, program
from tests.bench.notifier.unread import Unread

_CLIENTS, _PER_SECOND = 1_000, 20
_TURN_EVENTS, _TURNS = 100, 4
_PHASE_EVENTS, _PHASES = 300, 3
_WARM = 40

Milliseconds = NDArray[np.float64]


async def measure() -> Measurement:
    async with (
        notifier_stage("latency") as stage,
        program("tests.bench.notifier.floor") as floor,
        stage.crowd(_CLIENTS, keeps="times") as crowd,
        program("tests.bench.notifier.crowd") as bare,
    ):
        port = (await floor.answer())["port"]
        await bare.ask(host="127.0.0.1", port=port, clients=_CLIENTS, keeps="times")
        ours, anchor = _Ours(stage, crowd), _Anchor(stage, floor, bare)
        for warm in (ours, anchor):
            await warm.phase(_WARM)
        turns = [(await ours.phase(_TURN_EVENTS), await anchor.phase(_TURN_EVENTS)) for _ in range(_TURNS)]
    taken, floors = (np.concatenate(phases) for phases in zip(*turns, strict=True))
    for name, times in (("ours", taken), ("bare server", floors)):
        low, middle, p99, high = (float(np.percentile(times, part)) for part in (0, 50, 99, 100))
        sys.stderr.write(f"  {name}: {low:.1f} to {high:.1f} ms, median {middle:.1f} ms, p99 {p99:.1f} ms\n")
    return Measurement(
        name="event_latency",
        value=round(_p99(taken), 1),
        unit="ms, p99",
        goal="at most 25",
        ratio=round(_p99(taken) / _p99(floors), 3),
        spread=_spread([_p99(one) / _p99(other) for one, other in turns]),
        pairs=_TURNS,
        cpu_us_per_item=None,
        anchor="the p99 of a bare server on the same event loop that writes one encoded frame to 1,000 sockets",
        machine=machine(),
    )


async def measure_slow_client() -> Measurement:
    async with notifier_stage("slow-client") as stage, stage.crowd(_CLIENTS, keeps="times") as crowd:
        ours = _Ours(stage, crowd)
        await ours.phase(_WARM)
        added = []
        for number in range(_PHASES):
            alone = _p99(await ours.phase(_PHASE_EVENTS))
            async with _unread(stage) as closed:
                beside = _p99(await ours.phase(_PHASE_EVENTS))
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
        spread=_spread(added),
        pairs=_PHASES,
        cpu_us_per_item=None,
        anchor="the same 1,000 subscribers without it, in turns",
        machine=machine(),
    )


class _Ours:
    def __init__(self, stage: NotifierStage, crowd: Program) -> None:
        self._stage = stage
        self._crowd = crowd

    async def phase(self, events: int) -> Milliseconds:
        """From each commit to each client."""
        first = await self._stage.head() + 1

        async def commit(_: int) -> int:
            await self._stage.log(1)
            return self._stage.commits.last

        committed = await _paced(events, commit)
        return await _received(self._stage, self._crowd, first, committed)


class _Anchor:
    def __init__(self, stage: NotifierStage, floor: Program, bare: Program) -> None:
        self._stage, self._floor, self._bare = stage, floor, bare
        self._sent = 0

    async def phase(self, events: int) -> Milliseconds:
        """From the first write of each frame, the very one that the notifier would write, to each client."""
        event, first = await self._stage.one_event(), self._sent + 1

        async def write(number: int) -> int:
            frame = event_frame(replace(event, offset=first + number), None).for_id("0")
            return int((await self._floor.ask(frame=frame.hex(), times=1))["began"])

        began = await _paced(events, write)
        self._sent += events
        return await _received(self._stage, self._bare, first, began)


async def _paced(events: int, send: Callable[[int], Awaitable[int]]) -> list[int]:
    """When each was sent, in nanoseconds of the monotonic clock."""
    loop, sent = asyncio.get_running_loop(), []
    due = loop.time()
    for number in range(events):
        await asyncio.sleep(due - loop.time())
        due += 1 / _PER_SECOND
        sent.append(await send(number))
    return sent


async def _received(stage: NotifierStage, crowd: Program, first: int, sent: list[int]) -> Milliseconds:
    told = await crowd.ask(do="wait", offset=first + len(sent) - 1, seconds=PATIENCE_SECONDS)
    if told["gaps"] or told["lost"]:
        raise RuntimeError(f"clients missed events: {told}")
    file = stage.folder / "times"
    count = (await crowd.ask(do="times", file=str(file)))["count"]
    offsets, times = np.fromfile(file, dtype=np.int64).reshape(2, count)
    wanted = offsets >= first
    if int(wanted.sum()) != len(sent) * _CLIENTS:
        raise RuntimeError(f"{int(wanted.sum())} messages, not {len(sent)} for each of {_CLIENTS}")
    return (times[wanted] - np.array(sent, dtype=np.int64)[offsets[wanted] - first]) / 1e6


def _p99(taken: Milliseconds) -> float:
    return float(np.percentile(taken, 99))


def _spread(found: Sequence[float]) -> tuple[float, float]:
    return round(min(found), 3), round(max(found), 3)


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
