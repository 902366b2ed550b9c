"""What it costs the worker to bring tensors to Triton: through shared memory (ours) against gRPC (the anchor).

320 x 320 pictures that lie prepared in batches of 32, four batches in flight, a stand-in model that answers at once.
The ratio is of rates; `value` and `cpu_us_per_item` are CPU of this process an item through shared memory, and what it
is over gRPC stands in `anchor`.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from services.inference.inputs.batch import BatchMemory
from services.inference.shared_memory import SharedMemory
from services.inference.tensors import Array
from services.inference.triton import Triton
from shared.model_card import BuiltModel
from tests.bench.measure import Measurement, in_turns, machine
from tests.support.stand_ins import MAX_BATCH, model_store, sleeps_on_images
from tests.support.world import built_models

_SIDE, _CALLS, _IN_FLIGHT, _PAIRS = 320, 100, 4, 7
_MOST_BYTES = 256 * 1024 * 1024
Inputs = Mapping[str, Array]


async def measure() -> Measurement:
    state = ROOT / "var" / "bench"
    store = model_store(state / "models", [sleeps_on_images(batch_ms=0, row_ms=0, side=_SIDE)])
    with StackProcess(StackOptions(state=state, models=store, free_ports=True, servers_only=True)) as stack:
        (built,) = built_models(store).values()
        return await _measured(stack.addresses.triton_url, built)


async def _measured(url: str, built: BuiltModel) -> Measurement:
    memory = SharedMemory(_MOST_BYTES)
    shared, plain = Triton(url, 60, memory=memory), Triton(url, 60)
    prepared = [_prepared(built, memory) for _ in range(2 * _IN_FLIGHT)]
    cpu: dict[Triton, list[float]] = {shared: [], plain: []}

    async def through(triton: Triton) -> float:
        return await _rate(triton, built, prepared, cpu[triton])

    for triton in (shared, plain):
        await through(triton)  # the first call finds out whether memory is shared
        cpu[triton].clear()
    if shared.memory is None:
        raise RuntimeError("Triton does not read shared memory here")
    pairs = await in_turns(lambda: through(shared), lambda: through(plain), _PAIRS)
    await asyncio.gather(shared.close(), plain.close())
    memory.close()
    ours, anchor = statistics.median(cpu[shared]), statistics.median(cpu[plain])
    return Measurement(
        name="transport",
        value=round(ours, 1),
        unit="µs of CPU an item",
        goal="less than over gRPC",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=_PAIRS,
        cpu_us_per_item=round(ours, 1),
        anchor=f"the same tensors over gRPC: {anchor:.1f} µs of CPU an item",
        machine=machine(),
    )


def _prepared(built: BuiltModel, memory: SharedMemory) -> Inputs:
    (tensor,) = built.card.inputs
    slots = BatchMemory(MAX_BATCH, memory).room({tensor.name: tensor.datatype}, {tensor.name: tensor.shape})
    slots[tensor.name][...] = np.random.default_rng(1).integers(0, 256, slots[tensor.name].shape, np.uint8)
    return slots


async def _rate(triton: Triton, built: BuiltModel, prepared: Sequence[Inputs], cpu: list[float]) -> float:
    places = asyncio.Semaphore(_IN_FLIGHT)

    async def call(inputs: Inputs) -> None:
        async with places:
            await triton.infer(built.triton_name, built.card, inputs)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(call(prepared[number % len(prepared)]) for number in range(_CALLS)))
    items = _CALLS * MAX_BATCH
    cpu.append((time.process_time() - used) / items * 1e6)
    return items / (time.perf_counter() - began)
