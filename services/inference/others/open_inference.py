"""Servers of the Open Inference Protocol over gRPC, as Triton is one."""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from services.inference.failures import ModelRejected
from services.inference.neutral import neutral_batch
from services.inference.others.reported import metadata_problems
from services.inference.served_model import ServedModel
from services.inference.shared_memory import SharedMemory
from services.inference.tensors import Array, BadModelOutput
from services.inference.triton import Triton
from shared.errors import FieldError
from shared.model_card import ModelCard
from shared.served_at import Pin, ServedAt

_SAMPLED = 64
# What other hardware or another batch size may change, and other weights do not keep to.
_RELATIVE, _ABSOLUTE = 0.02, 0.002


class OpenInference:
    def __init__(self, client: Triton) -> None:
        self._client = client

    @property
    def memory(self) -> SharedMemory | None:
        return self._client.memory

    async def ready(self, where: ServedAt) -> bool:
        return await self._client.ready(where.model, where.version)

    async def problems(self, where: ServedAt, card: ModelCard) -> Sequence[FieldError]:
        return metadata_problems(await self._client.metadata(where.model, where.version), card)

    async def pin(self, where: ServedAt, card: ModelCard) -> Pin:
        metadata = asdict(await self._client.metadata(where.model, where.version))
        if where.version:  # others that are there beside it are not ours
            metadata["versions"] = [where.version]
        batch = await asyncio.to_thread(neutral_batch, ServedModel.closed(card), 1)
        outputs = await self._client.infer(where.model, card, batch.tensors, where.version)
        return Pin(
            metadata=hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest(),
            answer={name: _sample(output) for name, output in sorted(outputs.items())},
        )

    async def difference(self, where: ServedAt, card: ModelCard, pin: Pin) -> str | None:
        try:
            return differs(pin, await self.pin(where, card))
        except (ModelRejected, BadModelOutput) as error:
            return f"does not answer the probe any more: {error}"[:300]

    async def infer(
        self, where: ServedAt, card: ModelCard, inputs: Mapping[str, Array], pin: Pin | None
    ) -> dict[str, Array]:
        del pin  # its answers do not say which model they are of
        return await self._client.infer(where.model, card, inputs, where.version)

    async def close(self) -> None:
        await self._client.close()


def differs(one: Pin, other: Pin) -> str | None:
    """In words; None when they are the same but for rounding."""
    if one.metadata != other.metadata:
        return "reports other metadata"
    same = one.answer.keys() == other.answer.keys() and all(
        len(values) == len(other.answer[name])
        and np.allclose(values, other.answer[name], rtol=_RELATIVE, atol=_ABSOLUTE)
        for name, values in one.answer.items()
    )
    return None if same else "answers the same probe otherwise"


def _sample(output: Array) -> tuple[float, ...]:
    """Its shape, and values evenly spread over it."""
    flat = output.ravel()
    if flat.dtype == object:
        texts = b"\0".join(bytes(text) for text in flat)
        numbers = np.frombuffer(hashlib.sha256(texts).digest(), np.uint8)
    else:
        numbers = flat[np.linspace(0, flat.size - 1, min(_SAMPLED, flat.size)).astype(int)] if flat.size else flat
    return (*map(float, output.shape), *(round(float(number), 6) for number in numbers))
