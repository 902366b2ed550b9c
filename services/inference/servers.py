"""Who is asked: our own Triton, or the server of others at an address the operator allowed. One client an address."""

import time
from collections.abc import Mapping
from functools import partial

from services.inference.failures import ModelUnusable
from services.inference.fresh import Fresh
from services.inference.others import Others, OtherServer
from services.inference.shared_memory import SharedMemory
from services.inference.tensors import Array
from services.inference.triton import Triton
from shared.run_configuration import RunConfiguration
from shared.served_at import ServedAt

_KNOWN_FOR_SECONDS = 30.0


class Servers:
    def __init__(self, own: Triton, others: Others | None = None) -> None:
        self._own = own
        self._others = others or Others((), 0)
        self._instances: dict[str, tuple[float, int]] = {}
        self._digests: dict[str, Fresh[str | None]] = {}

    def at(self, where: ServedAt) -> OtherServer:
        """Raises ModelUnusable for an address that the operator does not allow, or no longer does."""
        return self._others.at(where)

    def memory(self, configuration: RunConfiguration) -> SharedMemory | None:
        """Where batches for the server that has the run's model are best prepared."""
        where = configuration.served_at
        return (self._own if where is None else self.at(where)).memory

    async def infer(self, configuration: RunConfiguration, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """As `Triton.infer`, of the server that has the run's model."""
        where, card = configuration.served_at, configuration.card
        if where is None:
            return await self._own.infer(configuration.triton_model, card, inputs)
        return await self.at(where).infer(where, card, inputs, configuration.pin)

    async def instances(self, configuration: RunConfiguration) -> int | None:
        """Of the run's model on our own server, as last heard; of others nobody knows. Raises ModelAway."""
        if configuration.served_at is not None:
            return None
        model = configuration.triton_model
        return self._instances[model][1] if model in self._instances else await self._count_instances(model)

    async def check_version(self, configuration: RunConfiguration) -> None:
        """All results of a run come from one model version. Raises ModelUnusable when another is served, or PartAway.

        Of a server of others: when it reports another model than at registration, or answers the probe otherwise.
        """
        where, pin = configuration.served_at, configuration.pin
        if where is None or pin is None:
            await self._check_own(configuration)
            await self._recount_instances(configuration.triton_model)
            return
        difference = await self.at(where).difference(where, configuration.card, pin)
        if difference:
            raise ModelUnusable(f"{where.address} serves another model than was registered: it {difference}")

    async def _recount_instances(self, model: str) -> None:
        """Now and then, for the segments to come: none waits for it."""
        if model in self._instances and time.monotonic() - self._instances[model][0] > _KNOWN_FOR_SECONDS:
            await self._count_instances(model)

    async def _count_instances(self, model: str) -> int:
        self._instances[model] = time.monotonic(), await self._own.instances(model)
        return self._instances[model][1]

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

    async def close(self) -> None:
        await self._others.close()
