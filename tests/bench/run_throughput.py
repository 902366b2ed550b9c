"""A whole run of the real detector, submit to terminal event, against a bare inference loop on the same Triton.

The bare loop sends tensors that were decoded before, in the same batches and with as many in flight; it neither reads,
decodes nor stores anything. Durable, events on.
"""

import asyncio
import time
from collections.abc import Sequence
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
from tests.support.servers import MODELS, PICTURES
from tests.support.stack import Frontend, set_up
from tests.support.world import built_models

_ROWS, _PAIRS, _IN_FLIGHT = 240, 5, 4
_MODEL = "detect-nanodet"


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

        async def ours() -> float:
            before = cpu_seconds(worker.pid)
            rate = await _run(frontend, stack.addresses.notifier_url, model)
            cpu.append((cpu_seconds(worker.pid) - before) / _ROWS * 1e6)
            return rate

        async def anchor() -> float:
            return await _bare_loop(triton, built, tensor)

        await anchor()  # the first calls warm the model
        pairs = await in_turns(ours, anchor, _PAIRS)
        await triton.close()
        await gateway.close()
    return _measurement(pairs, sorted(cpu)[len(cpu) // 2])


def _measurement(pairs: Pairs, cpu_us: float) -> Measurement:
    return Measurement(
        name="run_throughput",
        value=round(sorted(pairs.ours)[len(pairs.ours) // 2], 1),
        unit="rows/s",
        goal="ratio of at least 0.95 to the lowest ceiling",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=len(pairs.ours),
        cpu_us_per_item=round(cpu_us, 0),
        anchor=f"bare loop: decoded tensors to Triton over gRPC, batch 16, {_IN_FLIGHT} in flight, nothing stored",
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


def _decoded(built: BuiltModel) -> Array:
    files: Sequence[bytes] = [content for name, content in photographs(PICTURES) if name != BROKEN]
    contents = [Content(new_id(), content, b"", first_read=False) for content in islice(cycle(files), _ROWS)]
    (batch,) = prepare_batch(ServedModel.closed(built.card), contents).batches()
    return batch.tensors[built.card.inputs[0].name]
