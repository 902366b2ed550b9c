"""A whole run of the real detector, submit to terminal event, against the lowest of three ceilings: what Triton alone
gives for tensors that were decoded before, what decoding alone gives, and what PostgreSQL alone does.

The loop before Triton sends as many batches with as many in flight and keeps nothing. All three are taken again for
each pair. Durable, events on.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json
from deploy.local.demo.photographs import BROKEN, photographs
from deploy.local.stack import ROOT, StackOptions
from services.inference.inputs import prepare_batch
from services.inference.inputs.content import Content
from services.inference.served_model import ServedModel
from services.inference.tensors import Array
from services.inference.triton import Triton
from shared.ids import new_id
from shared.model_card import BuiltModel
from tests.bench.best_of_triton import loop_seconds
from tests.bench.measure import Measurement, Pairs, in_turns, machine
from tests.bench.whole_runs import WholeRuns
from tests.support.servers import MODELS, PICTURES, connected
from tests.support.stack import Frontend, set_up
from tests.support.world import built_models

_ROWS, _PAIRS, _IN_FLIGHT = 240, 5, 4
_MODEL, _THREADS = "detect-nanodet", 2
_BOX = '{"kind": "bounding_box", "left": 10.25, "top": 20.5, "width": 30.75, "height": 40.0}'


async def measure() -> Measurement:
    options = StackOptions(state=ROOT / "var" / "bench", free_ports=True)
    with StackProcess(options) as stack:
        gateway = Gateway(stack.addresses.api_url, stack.api_key)
        triton = Triton(stack.addresses.triton_url, 60)
        built = built_models(MODELS)[_MODEL]
        frontend, model = await _project(gateway)
        wanted = {**await frontend.wanted(model, 0.35), "reuse": False}
        runs = WholeRuns(stack, frontend, wanted, _ROWS)
        tensors = _decoded(built)

        async def anchor() -> float:
            ceilings = {
                "Triton": await _bare_loop(triton, built, tensors),
                "decoding": await asyncio.to_thread(_decoding, built),
                "database": await _database(stack.addresses.database_url),
            }
            sys.stderr.write("  alone: " + ", ".join(f"{of} {rate:.1f}/s" for of, rate in ceilings.items()) + "\n")
            return min(ceilings.values())

        await anchor()  # the first calls warm the model
        pairs = await in_turns(runs.rate, anchor, _PAIRS)
        await triton.close()
        await gateway.close()
    return _measurement(pairs, statistics.median(runs.cpu))


def _measurement(pairs: Pairs, cpu_us: float) -> Measurement:
    return Measurement(
        name="detector_throughput",
        value=round(statistics.median(pairs.ours), 1),
        unit="rows/s",
        goal="ratio of at least 0.95 to the lowest ceiling",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=len(pairs.ours),
        cpu_us_per_item=round(cpu_us, 0),
        anchor=f"the lowest of Triton alone (decoded tensors, batch 16, {_IN_FLIGHT} in flight), decoding, database",
        machine=machine(),
    )


async def _project(gateway: Gateway) -> tuple[Frontend, Json]:
    """A project with `_ROWS` photographs; the same bytes are stored once, but every row is decoded."""
    files = [photograph for photograph in photographs(PICTURES) if photograph[0] != BROKEN]
    rows = [(f"{index}-{name}", content) for index, (name, content) in enumerate(islice(cycle(files), _ROWS))]
    frontend = await set_up(gateway, {"tools": [{"type": "bounding_box", "name": "person"}]}, rows)
    return frontend, await frontend.model("object_detection")


async def _bare_loop(triton: Triton, built: BuiltModel, tensors: Mapping[str, Array]) -> float:
    size = built.card.max_batch_size
    return _ROWS / await loop_seconds(triton, built, tensors, _ROWS // size, _IN_FLIGHT)


def _decoding(built: BuiltModel) -> float:
    """Pictures a second, with as many threads as a worker has."""
    contents, size = _contents(_ROWS // 2), built.card.max_batch_size
    parts = [contents[start : start + size] for start in range(0, len(contents), size)]
    began = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda part: prepare_batch(ServedModel.closed(built.card), part), parts))
    return len(contents) / (time.perf_counter() - began)


async def _database(url: str) -> float:
    """Pictures a second with ten boxes each, a durable COPY for sixteen of them."""
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS bare (picture uuid, box jsonb)")
        await connection.execute("TRUNCATE bare")
        began = time.perf_counter()
        for _ in range(0, _ROWS, 16):
            records = [(new_id(), _BOX) for _ in range(160)]
            await connection.copy_records_to_table("bare", records=records)
        return _ROWS / (time.perf_counter() - began)


def _decoded(built: BuiltModel) -> dict[str, Array]:
    """One full batch."""
    (batch,) = prepare_batch(ServedModel.closed(built.card), _contents(built.card.max_batch_size)).batches()
    return dict(batch.tensors)


def _contents(count: int) -> list[Content]:
    files: Sequence[bytes] = [content for name, content in photographs(PICTURES) if name != BROKEN]
    return [Content(new_id(), content, b"", first_read=False) for content in islice(cycle(files), count)]
