"""Events to 1,000 subscribers of one project, against a bare server that writes one encoded frame of the same size.

What counts is the processor time of the server, from the log in PostgreSQL to the sockets: messages a second a core.
"""

import asyncio
import statistics

from services.notifier.frames import event_frame
from tests.bench.measure import Measurement, cpu_seconds, in_turns, machine
from tests.bench.notifier.stage import PATIENCE_SECONDS, NotifierStage, Program, notifier_stage, program

_CLIENTS, _EVENTS, _PAIRS, _TOGETHER = 1_000, 400, 5, 50


async def measure() -> Measurement:
    async with notifier_stage("fan-out") as stage, program("tests.bench.notifier.floor") as floor:
        ours = _Ours(stage)
        port = (await floor.answer())["port"]
        async with stage.crowd(_CLIENTS) as crowd, program("tests.bench.notifier.crowd") as bare:
            await bare.ask(host="127.0.0.1", port=port, clients=_CLIENTS)
            anchor = _Anchor(floor, bare, await _frame(stage))
            ours.crowd = crowd
            await ours.rate()
            await anchor.rate()
            ours.cpu.clear()
            pairs = await in_turns(ours.rate, anchor.rate, _PAIRS)
    return Measurement(
        name="fan_out",
        value=round(statistics.median(pairs.ours)),
        unit="messages/s a core",
        goal="ratio of at least 0.6",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=_PAIRS,
        cpu_us_per_item=round(statistics.median(ours.cpu), 2),
        anchor="a bare server on the same event loop that writes one encoded frame to 1,000 sockets",
        machine=machine(),
    )


class _Ours:
    def __init__(self, stage: NotifierStage) -> None:
        self._stage = stage
        self.crowd: Program | None = None
        self.cpu: list[float] = []

    async def rate(self) -> float:
        """Messages a second of the notifier's processor time. Raises RuntimeError when a client missed one."""
        assert self.crowd is not None
        pid, last = self._stage.notifier.pid, await self._stage.head() + _EVENTS
        began = cpu_seconds(pid)
        for _ in range(_EVENTS // _TOGETHER):
            await self._stage.log(_TOGETHER)
        told = await self.crowd.ask(do="wait", offset=last, seconds=PATIENCE_SECONDS)
        spent = cpu_seconds(pid) - began
        if told["gaps"] or told["lost"]:
            raise RuntimeError(f"clients missed events: {told}")
        self.cpu.append(spent / (_EVENTS * _CLIENTS) * 1e6)
        return _EVENTS * _CLIENTS / spent


class _Anchor:
    def __init__(self, floor: Program, bare: Program, frame: bytes) -> None:
        self._floor, self._bare, self._frame = floor, bare, frame
        self._bytes = 0

    async def rate(self) -> float:
        self._bytes += _EVENTS * _CLIENTS * len(self._frame)
        began = cpu_seconds(self._floor.pid)
        sending = asyncio.create_task(self._floor.ask(frame=self._frame.hex(), times=_EVENTS))
        await self._bare.ask(do="wait", bytes=self._bytes, seconds=PATIENCE_SECONDS)
        await sending
        return _EVENTS * _CLIENTS / (cpu_seconds(self._floor.pid) - began)


async def _frame(stage: NotifierStage) -> bytes:
    """The very bytes the notifier writes."""
    return event_frame(await stage.one_event(), None).for_id("0")
