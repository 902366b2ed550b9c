"""Rows a second with 1, 2 and 4 Triton instances of the sleeping stand-in, and with 1, 2 and 3 workers.

Instances: one worker as it is, against as many times its rate with one instance. Workers: each held to one batch at a
time by its settings, so that more of them should do as much more, before four instances. `ratio` is the lowest share
of linear.
"""

import sys
import time

from tests.bench.measure import Measurement, machine
from tests.bench.stage import Stage, more_workers, staged
from tests.support.stack import Frontend
from tests.support.stand_ins import sleeps
from tests.support.texts import configuration, make_known, run_to_its_end, set_up_texts

_SECONDS = 3  # of work each
_RATE = 1700  # of one instance, about
_ROUNDS = 3
_ONE_AT_A_TIME = {"INFERENCE_LANES": "1", "INFERENCE_BATCHES_IN_FLIGHT": "1"}


async def measure() -> Measurement:
    models = [sleeps(), sleeps(2), sleeps(4)]
    async with staged("scaling", models) as stage:
        frontend = await _project(stage, "sleeps", "sleeps-2", "sleeps-4")
        rounds = [{count: await _by_instances(stage, frontend, count) for count in (1, 2, 4)} for _ in range(_ROUNDS)]
    shares = _shares("instances", rounds)
    async with staged("scaling", models, settings=_ONE_AT_A_TIME) as stage:
        frontend = await _project(stage, "sleeps-4")
        rounds = [{count: await _by_workers(stage, frontend, count) for count in (1, 2, 3)} for _ in range(_ROUNDS)]
    shares += _shares("workers", rounds)
    lowest = min(shares)
    return Measurement(
        name="scaling",
        value=None,
        unit="share of linear",
        goal="at least 0.85",
        ratio=round(lowest, 3),
        spread=(round(lowest, 3), round(max(shares), 3)),
        pairs=_ROUNDS,
        cpu_us_per_item=None,
        anchor="one instance and one worker, as many times as there are instances or workers",
        machine=machine(),
    )


def _shares(of: str, rounds: list[dict[int, float]]) -> list[float]:
    """The best of all rounds at each count, since whatever else the machine does only slows."""
    best = {count: max(taken[count] for taken in rounds) for count in rounds[0]}
    shares = {count: rate / (count * best[1]) for count, rate in best.items()}
    found = ", ".join(f"{count}: {best[count]:.0f}/s ({share:.2f})" for count, share in shares.items())
    sys.stderr.write(f"  {of}: {found}\n")
    return [share for count, share in shares.items() if count > 1]


async def _project(stage: Stage, *slugs: str) -> Frontend:
    """With as many rows as the largest run takes, and these models known."""
    frontend = await set_up_texts(stage.gateway, map(str, range(4 * _RATE * _SECONDS)))
    for slug in slugs:
        await make_known(frontend, stage.notifier_url, slug)
    return frontend


async def _by_instances(stage: Stage, frontend: Frontend, count: int) -> float:
    slug = "sleeps" if count == 1 else f"sleeps-{count}"
    return await _rate(stage, frontend, slug, count * _RATE * _SECONDS)


async def _by_workers(stage: Stage, frontend: Frontend, count: int) -> float:
    async with more_workers(stage, count - 1, _ONE_AT_A_TIME):
        return await _rate(stage, frontend, "sleeps-4", count * _RATE * _SECONDS // 2)


async def _rate(stage: Stage, frontend: Frontend, slug: str, rows: int) -> float:
    wanted = {**await configuration(frontend, slug), "limit": rows}
    began = time.perf_counter()
    ended = await run_to_its_end(frontend, stage.notifier_url, wanted)
    if ended["data"]["succeeded"] != rows:
        raise RuntimeError(f"the run ended as {ended['type']}")
    return rows / (time.perf_counter() - began)
