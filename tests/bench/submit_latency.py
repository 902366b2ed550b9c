"""From a submit's 202 at the client to the first batch before the model, on an idle system: 120 runs of 16 texts.

The stand-in itself notes when Triton begins each of its calls, on the same machine's clock. So the way through
gRPC and Triton's own queue counts too. A ring that overtakes its answer would give a time under zero.
"""

import asyncio
import statistics
import sys
import time

from tests.bench.measure import Measurement, machine
from tests.bench.stage import Stage, staged
from tests.support.stack import until_ended
from tests.support.stand_ins import answers_constant, calls
from tests.support.texts import configuration, set_up_texts

_RUNS, _ROWS, _PAUSE_SECONDS = 120, 16, 0.15
_SLUG = "answers-constant"


async def measure() -> Measurement:
    async with staged("submit-latency", [answers_constant(records=True)]) as stage:
        accepted, sent = await _submit_runs(stage)
        began = _begun(calls(stage.models, _SLUG), since=sent[0])
    latencies, whole = _milliseconds(accepted, began), _milliseconds(sent, began)
    sys.stderr.write(
        f"  from 202: median {statistics.median(latencies):.1f} ms; from the request: median"
        f" {statistics.median(whole):.1f} ms, p99 {_p99(whole):.1f} ms\n"
    )
    return Measurement(
        name="submit_latency",
        value=round(_p99(latencies), 1),
        unit="ms, p99",
        goal="at most 50",
        ratio=None,
        spread=(round(latencies[0], 1), round(latencies[-1], 1)),
        pairs=_RUNS,
        cpu_us_per_item=None,
        anchor="none: the goal is a time",
        machine=machine(),
    )


async def _submit_runs(stage: Stage) -> tuple[list[float], list[float]]:
    """When each was accepted, and when it was sent."""
    frontend = await set_up_texts(stage.gateway, map(str, range(_ROWS)))
    wanted = await configuration(frontend, _SLUG)
    accepted, sent = [], []
    for _ in range(_RUNS + 1):
        await asyncio.sleep(_PAUSE_SECONDS)
        began = time.time()
        run = await stage.gateway.post(f"{frontend.path}/model-runs", wanted)
        answered = time.time()
        await until_ended(stage.gateway, f"/v1/model-runs/{run['id']}")
        sent.append(began)
        accepted.append(answered)
    return accepted, sent


def _begun(noted: list[tuple[float, int]], since: float) -> list[float]:
    """When the model was called for each run. Raises RuntimeError unless every run was one call with all its rows."""
    of_runs = [(moment, rows) for moment, rows in noted if moment >= since]
    if [rows for _, rows in of_runs] != [_ROWS] * (_RUNS + 1):
        raise RuntimeError(f"{_RUNS + 1} runs of {_ROWS} rows were {len(of_runs)} calls, not one each")
    return [moment for moment, _ in of_runs]


def _milliseconds(starts: list[float], ends: list[float]) -> list[float]:
    """Ascending, without the first run, which warms."""
    return sorted((end - start) * 1000 for start, end in list(zip(starts, ends, strict=True))[1:])


def _p99(ascending: list[float]) -> float:
    return ascending[min(len(ascending) - 1, int(len(ascending) * 0.99))]
