"""A whole run of the stand-in that sleeps like a GPU, submit to terminal event, against the best of Triton alone.

2 ms a batch and 0.5 ms a row, batches of 32: what our side costs must hide behind them. Durable, events on.
"""

import statistics

from services.inference.tensors import Array
from shared.model_card import BuiltModel
from tests.bench.best_of_triton import BestOfTriton
from tests.bench.measure import Measurement, in_turns, machine
from tests.bench.stage import staged
from tests.bench.texts import batch_of
from tests.bench.whole_runs import WholeRuns
from tests.support.stand_ins import MAX_BATCH, sleeps
from tests.support.texts import configuration, make_known, set_up_texts
from tests.support.world import built_models

_ROWS, _PAIRS = 6400, 5


async def measure() -> Measurement:
    async with staged("run-throughput", [sleeps()]) as stage:
        built: BuiltModel = built_models(stage.models)["sleeps"]
        texts = [str(number) for number in range(_ROWS)]
        frontend = await set_up_texts(stage.gateway, texts)
        await make_known(frontend, stage.notifier_url, "sleeps")
        runs = WholeRuns(stage.stack, frontend, await configuration(frontend, "sleeps"), _ROWS)
        tensors: dict[str, Array] = batch_of([text.encode() for text in texts[:MAX_BATCH]])
        best = BestOfTriton(stage.stack.addresses.triton_url, built, tensors, _ROWS // MAX_BATCH)
        await best.rate()
        pairs = await in_turns(runs.rate, best.rate, _PAIRS)
    return Measurement(
        name="run_throughput",
        value=round(statistics.median(pairs.ours), 1),
        unit="rows/s",
        goal="ratio of at least 0.95",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=_PAIRS,
        cpu_us_per_item=round(statistics.median(runs.cpu), 1),
        anchor=best.description,
        machine=machine(),
    )
