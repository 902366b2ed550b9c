"""Rows a second with 1, 2 and 4 Triton instances of the sleeping stand-in, and with 2 and 3 workers before as many.

`ratio` is the lowest share of linear: a rate over as many times that of one worker and one instance.
"""

import sys

from tests.bench.measure import Measurement, machine
from tests.bench.stage import Stage, more_workers, staged
from tests.bench.whole_runs import WholeRuns
from tests.support.stack import Frontend
from tests.support.stand_ins import sleeps
from tests.support.texts import configuration, make_known, set_up_texts

_SECONDS = 3  # of work each
_RATE = 1700  # of one instance, about
_ROUNDS = 3
_CASES = ((1, 1), (1, 2), (1, 4), (2, 2), (3, 3))
"""Workers and instances."""
_SLUGS = {1: "sleeps", 2: "sleeps-2", 3: "sleeps-3", 4: "sleeps-4"}

Rates = dict[tuple[int, int], float]


async def measure() -> Measurement:
    async with staged("scaling", [sleeps(instances) for instances in _SLUGS]) as stage:
        frontend = await set_up_texts(stage.gateway, map(str, range(max(_SLUGS) * _RATE * _SECONDS)))
        for slug in _SLUGS.values():
            await make_known(frontend, stage.notifier_url, slug)
        rounds = [await _round(stage, frontend) for _ in range(_ROUNDS)]
    shares = _shares(rounds)
    return Measurement(
        name="scaling",
        value=None,
        unit="share of linear",
        goal="at least 0.85",
        ratio=round(min(shares), 3),
        spread=(round(min(shares), 3), round(max(shares), 3)),
        pairs=_ROUNDS,
        cpu_us_per_item=None,
        anchor="one worker and one instance, as many times as there are instances",
        machine=machine(),
    )


async def _round(stage: Stage, frontend: Frontend) -> Rates:
    rates: Rates = {}
    for workers, instances in _CASES:
        async with more_workers(stage, workers - 1):
            rates[workers, instances] = await _rate(stage, frontend, instances)
    return rates


def _shares(rounds: list[Rates]) -> list[float]:
    """By the best of all rounds, since whatever else the machine does only slows."""
    best = {case: max(rates[case] for rates in rounds) for case in _CASES}
    shares = {case: rate / (case[1] * best[1, 1]) for case, rate in best.items()}
    for (workers, instances), share in shares.items():
        rate = best[workers, instances]
        sys.stderr.write(f"  {workers} workers, {instances} instances: {rate:.0f}/s, {share:.2f} of linear\n")
    return [share for case, share in shares.items() if case != (1, 1)]


async def _rate(stage: Stage, frontend: Frontend, instances: int) -> float:
    rows = instances * _RATE * _SECONDS
    wanted = {**await configuration(frontend, _SLUGS[instances]), "limit": rows}
    return await WholeRuns(stage.stack, frontend, wanted, rows).rate()
