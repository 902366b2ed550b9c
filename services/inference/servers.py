"""Who is asked: our own Triton, or the server of others at an address the operator allowed. One client an address."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np

from services.inference.failures import ModelRejected, ModelUnusable
from services.inference.fresh import Fresh
from services.inference.neutral import neutral_batch
from services.inference.served_model import ServedModel
from services.inference.shared_memory import SharedMemory
from services.inference.tensors import Array, BadModelOutput
from services.inference.triton import Triton
from shared.model_card import ModelCard
from shared.run_configuration import RunConfiguration
from shared.served_at import Pin, ServedAt

_SAMPLED = 64
# What other hardware or another batch size may change, and other weights do not keep to.
_RELATIVE, _ABSOLUTE = 0.02, 0.002
_KNOWN_FOR_SECONDS = 30.0


class Servers:
    def __init__(
        self, own: Triton, allowed: Sequence[str], deadline_seconds: float, memory: SharedMemory | None = None
    ) -> None:
        self._own = own
        self._memory = memory
        self._allowed = frozenset(allowed)
        self._deadline = deadline_seconds
        self._others: dict[str, Triton] = {}
        self._instances: dict[str, tuple[float, int]] = {}
        self._digests: dict[str, Fresh[str | None]] = {}

    def at(self, address: str) -> Triton:
        """Raises ModelUnusable for an address that the operator does not allow, or no longer does."""
        if address not in self._allowed:
            raise ModelUnusable(f"the operator does not allow models at {address}")
        if address not in self._others:
            self._others[address] = Triton(address, self._deadline, memory=self._memory)
        return self._others[address]

    def memory(self, configuration: RunConfiguration) -> SharedMemory | None:
        """Where batches for the server that has the run's model are best prepared."""
        if self._memory is None:
            return None
        where = configuration.served_at
        return (self._own if where is None else self.at(where.address)).memory

    async def infer(self, configuration: RunConfiguration, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """As `Triton.infer`, of the server that has the run's model."""
        where = configuration.served_at
        if where is None:
            return await self._own.infer(configuration.triton_model, configuration.card, inputs)
        return await self.at(where.address).infer(where.model, configuration.card, inputs, where.version)

    async def instances(self, configuration: RunConfiguration) -> int | None:
        """Of the run's model on our own server; of others nobody knows. Raises ModelAway."""
        if configuration.served_at is not None:
            return None
        known = self._instances.get(configuration.triton_model)
        if known is None or time.monotonic() - known[0] > _KNOWN_FOR_SECONDS:
            known = time.monotonic(), await self._own.instances(configuration.triton_model)
            self._instances[configuration.triton_model] = known
        return known[1]

    async def check_version(self, configuration: RunConfiguration) -> None:
        """All results of a run come from one model version. Raises ModelUnusable when another is served, or PartAway.

        Of a server of others: when it reports another model than at registration, or answers the probe otherwise.
        """
        where, pin = configuration.served_at, configuration.pin
        if where is None or pin is None:
            await self._check_own(configuration)
            return
        try:
            difference = differs(pin, await self.pin(where, configuration.card))
        except (ModelRejected, BadModelOutput) as error:
            difference = f"does not answer the probe any more: {error}"[:300]
        if difference:
            raise ModelUnusable(f"{where.address} serves another model than was registered: it {difference}")

    async def confirm(self, configuration: RunConfiguration) -> None:
        """That an answer came from the run's version, as far as our own Triton goes; those of others are not asked.

        A model may be exchanged from one moment to the next, and no call fails between. Raises as `check_version`.
        """
        if configuration.served_at is None:
            await self._check_own(configuration)

    async def _check_own(self, configuration: RunConfiguration) -> None:
        model = configuration.triton_model
        digest = self._digests.setdefault(model, Fresh(partial(self._own.digest, model)))
        if await digest.get() != configuration.digest:
            raise ModelUnusable("Triton serves another version of the model than the run began with")

    async def pin(self, where: ServedAt, card: ModelCard) -> Pin:
        """Raises ModelUnusable, PartAway, ModelRejected or BadModelOutput."""
        server = self.at(where.address)
        metadata = asdict(await server.metadata(where.model, where.version))
        if where.version:  # others that are there beside it are not ours
            metadata["versions"] = [where.version]
        batch = await asyncio.to_thread(neutral_batch, ServedModel.closed(card), 1)
        outputs = await server.infer(where.model, card, batch.tensors, where.version)
        return Pin(
            metadata=hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest(),
            answer={name: _sample(output) for name, output in sorted(outputs.items())},
        )

    async def close(self) -> None:
        for client in self._others.values():
            await client.close()


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
