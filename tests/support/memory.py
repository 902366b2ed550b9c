"""Clients of Triton with memory that it may share, and inputs that lie there."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import numpy as np

from services.inference.inputs.batch import BatchMemory
from services.inference.shared_memory import SharedMemory
from services.inference.tensors import Array
from services.inference.triton import Triton
from shared.model_card import ModelCard

MOST_BYTES = 64 * 1024 * 1024


@asynccontextmanager
async def client(url: str, memory: SharedMemory | None, deadline_seconds: float = 20) -> AsyncIterator[Triton]:
    found = Triton(url, deadline_seconds, memory=memory)
    try:
        yield found
    finally:
        await found.close()


def noise(card: ModelCard, memory: SharedMemory, rows: int = 8, seed: int = 1, side: int = 4096) -> dict[str, Array]:
    """Inputs as a batch prepares them; `side` is the length of what is free."""
    random = np.random.default_rng(seed)
    batch = BatchMemory(rows, memory)
    datatypes = {tensor.name: tensor.datatype for tensor in card.inputs}
    shapes = {tensor.name: tuple(side if one == -1 else one for one in tensor.shape) for tensor in card.inputs}
    slots = batch.room(datatypes, shapes)
    for tensor in card.inputs:
        slots[tensor.name][...] = random.integers(
            0, 2 if tensor.name.endswith("mask") else 200, slots[tensor.name].shape
        )
    return slots


def region_of(memory: SharedMemory, inputs: Mapping[str, Array]) -> str:
    (region,) = {place.region for array in inputs.values() if (place := memory.place(array))}
    return region
