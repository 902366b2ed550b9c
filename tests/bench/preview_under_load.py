"""A preview of 20 texts while a large run goes on, against the same on the idle stack; and what a second project gets.

The model is the stand-in that sleeps. The share is of all rows that were done while the second project's run was
open, from its submit to its end.
"""

import asyncio
import statistics
import sys
import time

from deploy.local.demo.client import Json, subscribed
from tests.bench.measure import Measurement, Pairs, machine
from tests.bench.stage import Stage, staged
from tests.support.stack import Frontend, until_ended
from tests.support.stand_ins import sleeps
from tests.support.texts import configuration, make_known, set_up_texts, submitted_to_its_end

_LARGE, _SECOND, _SAMPLE, _PREVIEWS = 40_000, 8_000, 20, 6
_SLUG = "sleeps"


async def measure() -> Measurement:
    async with staged("preview", [sleeps()]) as stage:
        counts = (_SAMPLE, _LARGE, _SECOND)
        small, large, second = [await set_up_texts(stage.gateway, map(str, range(count))) for count in counts]
        await make_known(second, stage.notifier_url, _SLUG)
        await _previews(stage, small, 1)  # the first one warms
        idle = await _previews(stage, small, _PREVIEWS // 2)
        run = await _submit(stage, large)
        await _until_begun(stage, run)
        loaded = await _previews(stage, small, _PREVIEWS)
        share = await _share(stage, run, second)
        await stage.gateway.post(f"/v1/model-runs/{run['id']}/cancel", {"results": "discard"})
        await until_ended(stage.gateway, f"/v1/model-runs/{run['id']}")
        idle += await _previews(stage, small, _PREVIEWS - len(idle))
    return _measurement(loaded, idle, share)


def _measurement(loaded: list[float], idle: list[float], share: float) -> Measurement:
    pairs = Pairs([1 / seconds for seconds in loaded], [1 / seconds for seconds in idle])
    sys.stderr.write(
        f"  preview: {statistics.median(loaded):.3f} s, {statistics.median(idle):.3f} s idle; share {share:.3f}\n"
    )
    return Measurement(
        name="preview_under_load",
        value=round(share, 3),
        unit="share of the second project",
        goal="share at least 0.4; ratio: time of a preview on the idle stack over that under load, 1 is no delay",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=_PREVIEWS,
        cpu_us_per_item=None,
        anchor="the same preview on the idle stack, before and after",
        machine=machine(),
    )


async def _submit(stage: Stage, frontend: Frontend) -> Json:
    return await stage.gateway.post(f"{frontend.path}/model-runs", await configuration(frontend, _SLUG))


async def _until_begun(stage: Stage, run: Json) -> None:
    async with asyncio.timeout(60):
        while not await _done(stage, run):
            await asyncio.sleep(0.05)


async def _previews(stage: Stage, frontend: Frontend, count: int) -> list[float]:
    """Seconds of each, from the request to its last event."""
    return [await _preview(stage, frontend) for _ in range(count)]


async def _preview(stage: Stage, frontend: Frontend) -> float:
    wanted = {**await configuration(frontend, _SLUG), "sample": {"size": _SAMPLE}}
    async with subscribed(stage.gateway, stage.notifier_url, f"project:{frontend.project_id}") as channel:
        began = time.perf_counter()
        ended = await submitted_to_its_end(channel, stage.gateway, f"{frontend.path}/previews", wanted)
        seconds = time.perf_counter() - began
    if ended["type"] != "preview.completed":
        raise RuntimeError(f"the preview ended as {ended['type']}")
    return seconds


async def _share(stage: Stage, run: Json, second: Frontend) -> float:
    before = await _done(stage, run)
    other = await _submit(stage, second)
    await until_ended(stage.gateway, f"/v1/model-runs/{other['id']}")
    after = await _done(stage, run)
    if after >= _LARGE:
        raise RuntimeError("the large run ended too soon")
    return _SECOND / (_SECOND + after - before)


async def _done(stage: Stage, run: Json) -> int:
    now = await stage.gateway.get(f"/v1/model-runs/{run['id']}")
    return int(now["succeeded"]) + int(now["failed"])
