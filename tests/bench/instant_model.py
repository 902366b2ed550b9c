"""10,000 inline texts through a model that answers at once: a whole run, submit to terminal event, against a bare loop.

`instant_model` compares the rates. `run_overhead` is the worker's CPU beyond that of sending the same batches to the
same model and doing nothing with the answers. Durable, events on.
"""

import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from services.inference.triton import Triton
from tests.bench.measure import Measurement, in_turns, machine
from tests.bench.stage import staged
from tests.bench.texts import BareLoop
from tests.bench.whole_runs import WholeRuns
from tests.support.stand_ins import answers_constant
from tests.support.texts import configuration, make_known, set_up_texts
from tests.support.world import built_models

_ROWS, _PAIRS = 10_000, 5
_SLUG = "answers-constant"
_CONNECTIONS = 5


@dataclass(frozen=True)
class _Bench:
    runs: WholeRuns
    bare: BareLoop


async def measure() -> Measurement:
    async with _ready("instant-model") as bench:
        pairs = await in_turns(bench.runs.rate, bench.bare.rate, _PAIRS)
    return Measurement(
        name="instant_model",
        value=round(statistics.median(pairs.ours), 1),
        unit="rows/s",
        goal="ratio of at least 0.5",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=_PAIRS,
        cpu_us_per_item=round(statistics.median(bench.runs.cpu), 1),
        anchor="bare loop: PostgreSQL, Triton over gRPC, COPY; batches of 32, four in flight, a commit each",
        machine=machine(),
    )


async def measure_overhead() -> Measurement:
    async with _ready("run-overhead") as bench:
        beyond: list[float] = []
        for number in range(_PAIRS):
            await bench.runs.rate()
            sending = await bench.bare.infer_only() / _ROWS * 1e6
            beyond.append(bench.runs.cpu[-1] - sending)
            sys.stderr.write(
                f"  {number + 1}: worker {bench.runs.cpu[-1]:.0f} µs a row, sending alone {sending:.0f} µs\n"
            )
    return Measurement(
        name="run_overhead",
        value=round(statistics.median(beyond), 1),
        unit="µs of CPU a row beyond sending it",
        goal="at most 100",
        ratio=None,
        spread=(round(min(beyond), 1), round(max(beyond), 1)),
        pairs=_PAIRS,
        cpu_us_per_item=round(statistics.median(bench.runs.cpu), 1),
        anchor="a bare inference loop over gRPC: the same batches of 32, four in flight, nothing read or stored",
        machine=machine(),
    )


@asynccontextmanager
async def _ready(name: str) -> AsyncIterator[_Bench]:
    async with staged(name, [answers_constant()]) as stage:
        frontend = await set_up_texts(stage.gateway, map(str, range(_ROWS)))
        await make_known(frontend, stage.notifier_url, _SLUG)
        triton = Triton(stage.stack.addresses.triton_url, 60)
        url = stage.stack.addresses.database_url
        async with asyncpg.create_pool(url, min_size=_CONNECTIONS, max_size=_CONNECTIONS) as pool:
            ids = [row[0] for row in await pool.fetch("SELECT data_row_id FROM data_row_contents ORDER BY 1")]
            runs = WholeRuns(stage.stack, frontend, await configuration(frontend, _SLUG), _ROWS)
            bench = _Bench(runs, BareLoop(pool, triton, built_models(stage.models)[_SLUG], ids))
            await bench.runs.rate()  # its speed is well known then
            await bench.bare.rate()
            bench.runs.cpu.clear()
            yield bench
        await triton.close()
