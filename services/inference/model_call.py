"""From a prepared batch to its outcomes: the call to the model and the decoding of its answer."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

from services.inference.decoders import decode_batch
from services.inference.failures import ModelAway, ModelRejected, RowFailed, Unstorable, fault_of_ours
from services.inference.inputs import PreparedBatch
from services.inference.machinery import Machinery
from services.inference.metrics import BATCH_ROWS, timed
from services.inference.patience import patiently
from services.inference.results import Outcomes, Succeeded
from services.inference.segments import Claim
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from services.inference.trace import trace_of

_FEW_BYTES = 4096


class Stopped(Exception):
    """The worker is to end, and this batch was not sent yet."""


class ModelCall:
    """Of one claim."""

    def __init__(self, parts: Machinery, claim: Claim, model: ServedModel) -> None:
        self._parts = parts
        self._claim = claim
        self._model = model
        self._places = parts.calls.of(claim.configuration.triton_model)
        self._stopping = False
        self._was_away = False
        self._is_checked = asyncio.Event()

    def stop(self) -> None:
        """Send nothing more."""
        self._stopping = True

    async def check(self) -> None:
        """That the run's version is served: nothing is sent before. Raises ModelUnusable, or PartAway."""
        if not self._is_checked.is_set():
            await self._parts.servers.check_version(self._claim.configuration)
            self._is_checked.set()

    async def outcomes(self, batch: PreparedBatch) -> Outcomes:
        """Raises Stopped, ModelRejected or BadModelOutput, or PartAway when the patience is over."""
        patience = self._parts.settings.inference_patience_seconds
        outputs, seconds = await patiently(patience, lambda: self._send(batch))
        read = partial(self._read, batch, outputs, (time.perf_counter(), seconds))
        return await timed("decode", self._decoded(outputs, read))

    async def _decoded(self, outputs: Mapping[str, Array], read: Callable[[], Outcomes]) -> Outcomes:
        """In a thread, unless that would cost more than the work."""
        if sum(map(_bytes_of, outputs.values())) <= _FEW_BYTES:
            return read()
        return await self._parts.in_thread(read)

    def _read(self, batch: PreparedBatch, outputs: dict[str, Array], answered: tuple[float, float]) -> Outcomes:
        began = time.perf_counter()
        found = decode_batch(self._model, outputs, [row.placement for row in batch.rows])
        trace = trace_of(self._claim, batch, answered, time.perf_counter() - began)
        return Outcomes.of(
            self._claim, [Succeeded(row, one, trace) for row, one in zip(batch.rows, found, strict=True)]
        )

    async def _send(self, batch: PreparedBatch) -> tuple[dict[str, Array], float]:
        """The answer and how long it took.

        Whoever was away may come back as another version, and that is looked at before its answers are taken.
        """
        configuration, servers = self._claim.configuration, self._parts.servers
        await self._is_checked.wait()
        place = await timed("wait", self._places.take())
        try:
            if self._stopping:
                raise Stopped
            BATCH_ROWS.observe(len(batch.rows))
            if self._was_away:
                await servers.check_version(configuration)
                self._was_away = False
            try:
                began = time.perf_counter()
                outputs = await timed("infer", servers.infer(configuration, batch.tensors))
                return outputs, time.perf_counter() - began
            except ModelAway:
                self._was_away = True
                raise
        finally:
            place.free()


def _bytes_of(output: Array) -> int:
    return sum(map(len, output.flat)) if output.dtype == object else output.nbytes


def refusal(error: Exception) -> RowFailed:
    """Of the one row that was alone in a batch."""
    if isinstance(error, ModelRejected):
        return RowFailed("inference", "model_rejected", str(error)[:500])
    if isinstance(error, (BadModelOutput, Unstorable)):
        return RowFailed("output", "bad_model_output", str(error)[:500])
    return fault_of_ours("inference", error)
