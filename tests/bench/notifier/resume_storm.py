"""1,000 clients whose notifier is killed: from its return until each has caught up with what was logged meanwhile.

They come back as docs/websocket.md asks for: after a random second, doubled with every refusal.
"""

import asyncio
import statistics
import sys
import time

from tests.bench.measure import Measurement, machine
from tests.bench.notifier.stage import PATIENCE_SECONDS, NotifierStage, Program, notifier_stage

_CLIENTS, _MISSED, _STORMS = 1_000, 200, 3


async def measure() -> Measurement:
    async with (
        notifier_stage("resume-storm") as stage,
        stage.crowd(_CLIENTS, tickets=_CLIENTS * (1 + 2 * _STORMS), comes_back=True) as crowd,
    ):
        seconds = [await _storm(stage, crowd, number + 1) for number in range(_STORMS)]
    return Measurement(
        name="resume_storm",
        value=round(statistics.median(seconds), 2),
        unit="s until all have caught up",
        goal="at most 5",
        ratio=None,
        spread=(round(min(seconds), 2), round(max(seconds), 2)),
        pairs=_STORMS,
        cpu_us_per_item=None,
        anchor="none: the goal is a time",
        machine=machine(),
    )


async def _storm(stage: NotifierStage, crowd: Program, number: int) -> float:
    await stage.log(1)
    await asyncio.to_thread(stage.notifier.kill)
    await stage.log(_MISSED)
    await asyncio.to_thread(stage.notifier.start)
    returned = time.monotonic_ns()
    told = await crowd.ask(do="wait", offset=await stage.head(), seconds=PATIENCE_SECONDS)
    if told["gaps"] or told["unrecovered"]:
        raise RuntimeError(f"clients missed events: {told}")
    seconds = (int(told["at"]) - returned) / 1e9
    sys.stderr.write(f"  {number}: {seconds:.2f} s; {told['lost']} connections lost so far\n")
    return seconds
