"""Whether one server reads our shared memory, and which regions it knows.

It is used only after one inference through it gave what the same inference over gRPC gave; a server that is elsewhere
cannot open the file and refuses, which costs one call.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from services.inference.failures import ModelRejected, PartAway
from services.inference.metrics import SHARES_MEMORY
from services.inference.shared_memory import WORTH_BYTES, Extent, SharedMemory
from services.inference.tensors import NUMPY_TYPES, Array, BadModelOutput
from shared.telemetry import logger
from shared.tensors import Tensor


@dataclass(frozen=True, slots=True)
class Shared:
    """What of a call lies in regions: inputs, and the arrays that outputs are written into. The rest is sent."""

    inputs: Mapping[str, Extent] = field(default_factory=dict)
    answers: Mapping[str, Array] = field(default_factory=dict)
    outputs: Mapping[str, Extent] = field(default_factory=dict)

    @property
    def regions(self) -> set[str]:
        return {place.region for places in (self.inputs, self.outputs) for place in places.values()}


NOTHING = Shared()
Inputs: TypeAlias = Mapping[str, Array]
Ask: TypeAlias = Callable[[Inputs, Shared], Awaitable[dict[str, Array]]]

_PARTING_SECONDS, _PAUSE_SECONDS = 3.0, 0.1
_ASK_AGAIN_SECONDS = 60.0
# Whoever loses what it was told just now is not one server but several.
_STEADY_SECONDS = 2.0
# The same row twice on the same server; some hardware rounds differently all the same.
_RELATIVE, _ABSOLUTE = 0.02, 0.002

log = logger(__name__)


class RegionRefused(Exception):
    """The server does not open the region, or has lost it."""


class RegionServer(Protocol):
    """Each raises RegionRefused when the server says no, or PartAway."""

    async def register(self, region: str, byte_size: int) -> None: ...

    async def unregister(self, region: str) -> None: ...

    async def registered(self) -> list[str]: ...


class Sharing:
    def __init__(self, memory: SharedMemory, server: RegionServer, address: str) -> None:
        self._memory = memory
        self._server = server
        self._address = address
        self._known: set[str] = set()
        self._verified_at: float | None = None
        self._refused_until = 0.0
        self._turn = asyncio.Lock()

    @property
    def memory(self) -> SharedMemory | None:
        """Where a batch for this server is best prepared; None while it reads none."""
        return None if time.monotonic() < self._refused_until else self._memory

    @property
    def works(self) -> bool:
        return self._verified_at is not None

    async def shared(self, inputs: Inputs, outputs: Sequence[Tensor], ask: Ask) -> Shared:
        """What the server reads and writes by itself now. `ask` makes the inference that shows that it does."""
        if self.memory is None:
            return NOTHING
        found = self._laid_out(inputs, outputs)
        regions = found.regions
        if not regions or (self.works and self._known.issuperset(regions)):
            return found
        if not self.works and self._turn.locked():  # being found out
            return NOTHING
        async with self._turn:
            if self.memory is None:  # found out meanwhile
                return NOTHING
            try:
                await self._introduce(regions)
                if not self.works:
                    await self._verify(inputs, outputs, ask)
            except RegionRefused as refusal:
                self._refuse(str(refusal))
                with suppress(PartAway):
                    await self._forget(self._known)
                return NOTHING
            except PartAway:  # which the call itself will meet
                return NOTHING
        return found if self.works else NOTHING

    def lost(self, shared: Shared) -> None:
        """The server no longer knows these: it was started anew."""
        if self._verified_at is None or not self._known.issuperset(shared.regions):
            return  # another call has said so already
        self._known.clear()
        if time.monotonic() - self._verified_at < _STEADY_SECONDS:
            self._refuse("it forgot a region at once")
        else:
            log.info("shared_memory_lost", address=self._address)
            SHARES_MEMORY.labels(self._address).set(0)
            self._verified_at = None

    async def close(self) -> None:
        """So that the server lets go of the memory too; a region stays in use for a moment after the answer."""
        with suppress(PartAway, TimeoutError):
            async with asyncio.timeout(_PARTING_SECONDS):
                await self._forget(self._known)
                while self._known:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    await self._forget(self._known)

    def _laid_out(self, inputs: Inputs, outputs: Sequence[Tensor], at_least: int = WORTH_BYTES) -> Shared:
        """With room for those outputs that are large and of a shape that is known."""
        answers: dict[str, Array] = {}
        size = len(next(iter(inputs.values())))
        for tensor in outputs:
            if tensor.datatype == "BYTES" or -1 in tensor.shape:
                continue
            kind = np.dtype(NUMPY_TYPES[tensor.datatype])
            lent = self._memory.lend(size * math.prod(tensor.shape) * kind.itemsize, at_least)
            if lent is not None:
                answers[tensor.name] = lent.view(kind).reshape(size, *tensor.shape)
        return Shared(self._places(inputs), answers, self._places(answers))

    def _places(self, arrays: Inputs) -> dict[str, Extent]:
        places = {name: self._memory.place(array) for name, array in arrays.items()}
        return {name: place for name, place in places.items() if place is not None}

    async def _introduce(self, regions: set[str]) -> None:
        sizes = self._memory.sizes()
        await self._forget(self._known - sizes.keys())
        for region in regions - self._known:
            if region not in sizes:
                raise RegionRefused("the memory is closed")
            await self._server.register(region, sizes[region])
            self._known.add(region)

    async def _forget(self, regions: set[str]) -> None:
        """What is still in use there is tried again later. Raises PartAway."""
        for region in tuple(regions):
            try:
                await self._server.unregister(region)
            except RegionRefused as error:
                log.debug("region_kept", address=self._address, region=region, error=str(error))
            else:
                self._known.discard(region)

    async def _verify(self, inputs: Inputs, outputs: Sequence[Tensor], ask: Ask) -> None:
        """With the first row. Raises RegionRefused, or PartAway when nobody can say."""
        row = {name: array[:1] for name, array in inputs.items()}
        shared = self._laid_out(row, outputs, at_least=0)
        await self._introduce(shared.regions)
        try:
            expected = await ask(row, NOTHING)
        except (ModelRejected, BadModelOutput) as error:  # of the row or the model, which the call itself will meet
            raise PartAway(str(error)) from error
        try:
            seen = await ask(row, shared)
        except (ModelRejected, BadModelOutput) as error:
            raise RegionRefused(f"through shared memory it says: {error}"[:300]) from error
        if not all(_alike(output, seen[name]) for name, output in expected.items()):
            raise RegionRefused("through shared memory it says something else")
        await self._forget_left_over()
        self._verified_at = time.monotonic()
        SHARES_MEMORY.labels(self._address).set(1)
        log.info("triton_transport", address=self._address, transport="shared_memory")

    async def _forget_left_over(self) -> None:
        """What killed processes of ours have registered: their memory is only given back when the server lets go."""
        names = await self._server.registered()
        await self._forget({name for name in names if self._memory.is_left_over(name)})

    def _refuse(self, reason: str) -> None:
        self._verified_at = None
        self._refused_until = time.monotonic() + _ASK_AGAIN_SECONDS
        SHARES_MEMORY.labels(self._address).set(0)
        log.info("triton_transport", address=self._address, transport="grpc", reason=reason)


def _alike(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype == np.object_:
        return bool((one == other).all())
    return bool(np.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE))
