"""A whole run of the real detector, submit to terminal event, against the lowest of three ceilings: what Triton alone
gives for tensors that were decoded before, what decoding alone gives, and what PostgreSQL alone does.

The loop before Triton sends the same batches with as many in flight and keeps nothing. Durable, events on.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json, subscribed
from deploy.local.demo.photographs import BROKEN, photographs
from deploy.local.stack import ROOT, StackOptions
from services.inference.inputs import prepare_batch
from services.inference.inputs.content import Content
from services.inference.served_model import ServedModel
from services.inference.triton import Array, Triton
from shared.ids import new_id
from shared.model_card import BuiltModel
from tests.bench.measure import Measurement, Pairs, cpu_seconds, in_turns, machine
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
        tensor = _decoded(built)
        worker = stack.status().services["inference"].process
        assert worker is not None
        cpu: list[float] = []
        decoding = database = float("inf")

        async def ours() -> float:
            before = cpu_seconds(worker.pid)
            rate = await _run(frontend, stack.addresses.notifier_url, model)
            cpu.append((cpu_seconds(worker.pid) - before) / _ROWS * 1e6)
            return rate

        async def anchor() -> float:
            return min(await _bare_loop(triton, built, tensor), decoding, database)

        await anchor()  # the first calls warm the model
        _say("Triton", await anchor())
        decoding, database = await asyncio.to_thread(_decoding), await _database(stack.addresses.database_url)
        _say("decoding", decoding)
        _say("database", database)
        pairs = await in_turns(ours, anchor, _PAIRS)
        await triton.close()
        await gateway.close()
    return _measurement(pairs, sorted(cpu)[len(cpu) // 2])


def _measurement(pairs: Pairs, cpu_us: float) -> Measurement:
    return Measurement(
        name="detector_throughput",
        value=round(sorted(pairs.ours)[len(pairs.ours) // 2], 1),
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


async def _run(frontend: Frontend, notifier_url: str, model: Json) -> float:
    wanted = {**await frontend.wanted(model, 0.35), "reuse": False}
    async with subscribed(frontend.gateway, notifier_url, f"project:{frontend.project_id}") as channel:
        began = time.perf_counter()
        run = await frontend.gateway.post(f"{frontend.path}/model-runs", wanted)
        async for message in channel:
            event = message.get("event", {})
            if event.get("subject", {}).get("id") == run["id"] and event["type"] == "model_run.completed":
                return _ROWS / (time.perf_counter() - began)
    raise RuntimeError("the run did not complete")


async def _bare_loop(triton: Triton, built: BuiltModel, tensor: Array) -> float:
    size, name = built.card.max_batch_size, built.card.inputs[0].name
    places = asyncio.Semaphore(_IN_FLIGHT)

    async def call(batch: Array) -> None:
        async with places:
            await triton.infer(built.triton_name, built.card, {name: batch})

    began = time.perf_counter()
    await asyncio.gather(*(call(tensor[start : start + size]) for start in range(0, _ROWS, size)))
    return _ROWS / (time.perf_counter() - began)


def _decoding() -> float:
    """Pictures a second, with as many threads as a worker has."""
    built = built_models(MODELS)[_MODEL]
    contents = _contents()[: _ROWS // 2]
    began = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as threads:
        size = built.card.max_batch_size
        parts = [contents[start : start + size] for start in range(0, len(contents), size)]
        list(threads.map(lambda part: prepare_batch(ServedModel.closed(built.card), part), parts))
    return len(contents) / (time.perf_counter() - began)


async def _database(url: str) -> float:
    """Pictures a second with ten boxes each, a durable COPY for sixteen of them."""
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS bare (picture uuid, box jsonb)")
        began = time.perf_counter()
        for _ in range(0, _ROWS, 16):
            records = [(new_id(), _BOX) for _ in range(160)]
            await connection.copy_records_to_table("bare", records=records)
        return _ROWS / (time.perf_counter() - began)


def _say(ceiling: str, rate: float) -> None:
    sys.stderr.write(f"  {ceiling} alone: {rate:.1f}/s\n")


def _decoded(built: BuiltModel) -> Array:
    (batch,) = prepare_batch(ServedModel.closed(built.card), _contents()).batches()
    return batch.tensors[built.card.inputs[0].name]


def _contents() -> list[Content]:
    files: Sequence[bytes] = [content for name, content in photographs(PICTURES) if name != BROKEN]
    return [Content(new_id(), content, b"", first_read=False) for content in islice(cycle(files), _ROWS)]
