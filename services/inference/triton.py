"""Triton over gRPC. With `line` and `wire` the only ones that know tritonclient; errors are sorted into kinds here."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2, service_pb2

from services.inference.failures import ModelAway, ModelBroken, ModelRejected, PartAway
from services.inference.line import Line, open_line
from services.inference.reports import Metadata, ModelState, ReportedTensor
from services.inference.shared_memory import SharedMemory
from services.inference.sharing import NOTHING, RegionRefused, Shared, Sharing
from services.inference.tensors import NUMPY_TYPES, Array, BadModelOutput, read_output
from services.inference.wire import described, head_of, request_of
from shared.model_card import BuiltModel, ModelCard, triton_config
from shared.model_files import WEIGHTS
from shared.tracing import traceparent

# NOT_FOUND too: "has no available versions" is what a model says while it reloads or Triton stops.
_TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.CANCELLED,
}
# The last two: it held a lock of both sides when it ended, or left something in the queue that is no answer.
_PROCESS_DIED = ("is not healthy", "Failed to obtain the health mutex", "Failed to retrieve the response error")
# After these nobody knows whether the server still works on the call.
_UNANSWERED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
}
_LEFT_THE_QUEUE = ("Exceeds maximum queue size", "Request timeout expired")
_REGION_LOST = "nable to find shared memory region"
_TOO_LARGE = "shared memory size specified with the request for output"
_REGISTER_SECONDS = 5


class Triton:
    """One client a process and event loop. Every call has a deadline: a stopped server would hang it for ever.

    Tensors that lie in `memory` are read there by a server that was seen to do so, and sent otherwise.
    """

    def __init__(self, url: str, deadline_seconds: float, *, memory: SharedMemory | None = None) -> None:
        self._line = open_line([url.partition(",")[0]])
        self._deadline = deadline_seconds
        self._memory = memory
        self._sharing = self._share()
        self._leaving: set[asyncio.Task[None]] = set()

    def reach(self, addresses: Collection[str]) -> bool:
        """Call these in turn from now on; False when it does already. What is under way ends where it was sent."""
        if self._line.addresses == frozenset(addresses):
            return False
        left = asyncio.create_task(self._leave(self._line, self._sharing))
        self._leaving.add(left)
        left.add_done_callback(self._leaving.discard)
        self._line = open_line(sorted(addresses))
        self._sharing = self._share()
        return True

    @property
    def memory(self) -> SharedMemory | None:
        """Where a batch for this server is best prepared."""
        return self._sharing.memory if self._sharing else None

    async def infer(
        self, model: str, card: ModelCard, inputs: Mapping[str, Array], version: str = ""
    ) -> dict[str, Array]:
        """One array for each output of the card, first axis the batch. Without a version the server chooses one.

        Raises ModelAway, ModelRejected or BadModelOutput.
        """
        _check_inputs(card, inputs)
        head = head_of(model, version)

        async def ask(inputs: Mapping[str, Array], shared: Shared) -> dict[str, Array]:
            return await self._ask(head, card, inputs, shared)

        if (sharing := self._sharing) is None:
            return await ask(inputs, NOTHING)
        shared = await sharing.shared(inputs, card.outputs, ask)
        try:
            return await ask(inputs, shared)
        except RegionRefused:
            sharing.lost(shared)
        return await ask(inputs, NOTHING)

    async def _ask(self, head: bytes, card: ModelCard, inputs: Mapping[str, Array], shared: Shared) -> dict[str, Array]:
        """Raises RegionRefused too, when the server does not know one of the regions."""
        request = request_of(head, card, inputs, shared)
        try:
            answer = await self._line.send(request, timeout=self._deadline, metadata=_trace())
        except grpc.RpcError as error:
            if shared.regions and _REGION_LOST in str(error.details()):
                raise RegionRefused(str(error.details())) from error
            if shared.answers and _TOO_LARGE in str(error.details()):
                raise BadModelOutput(f"an output is larger than the card says: {error.details()}"[:300]) from error
            if not _is_answered(error):
                self._suspect(shared)
            raise _sorted(error) from error
        except asyncio.CancelledError:
            self._suspect(shared)
            raise
        said, size = described(answer, shared.answers), len(next(iter(inputs.values())))
        return {tensor.name: read_output(said.get(tensor.name), tensor, size) for tensor in card.outputs}

    def _suspect(self, shared: Shared) -> None:
        for region in shared.regions:
            if self._memory is not None:
                self._memory.suspect(region)

    async def digest(self, model: str) -> str | None:
        """The digest in the loaded model's configuration; None when it carries none. Raises ModelAway."""
        found = (await self._config(model)).parameters
        return str(found["prelabel_digest"].string_value) or None if "prelabel_digest" in found else None

    async def instances(self, model: str) -> int:
        """How many batches of the model are worked on at once, by all servers together. Raises ModelAway."""
        groups = (await self._config(model)).instance_group
        of_one = max(1, sum(int(group.count) * max(1, len(group.gpus)) for group in groups))
        return of_one * len(self._line.addresses)

    async def states(self) -> dict[str, ModelState]:
        """Of every model Triton knows of. Raises ModelAway."""
        async with _errors_sorted():
            index = await self._line.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=5)
            loaded = await self._line.stub.ModelStatistics(service_pb2.ModelStatisticsRequest(), timeout=5)
        answered = {model.name: int(model.inference_stats.success.count) for model in loaded.model_stats}
        # What was loaded with its files stands in no repository, and so not in the index.
        return {name: ModelState("READY", answered=count) for name, count in answered.items()} | {
            model.name: ModelState(model.state or "UNAVAILABLE", model.reason, answered.get(model.name, 0))
            for model in index.models
        }

    async def ready(self, model: str, version: str = "") -> bool:
        """Raises ModelAway when nobody answers."""
        async with _errors_sorted():
            wanted = service_pb2.ModelReadyRequest(name=model, version=version)
            return bool((await self._line.stub.ModelReady(wanted, timeout=3)).ready)

    async def metadata(self, model: str, version: str = "") -> Metadata:
        """Raises ModelAway, or ModelRejected."""
        async with _errors_sorted():
            wanted = service_pb2.ModelMetadataRequest(name=model, version=version)
            found = await self._line.stub.ModelMetadata(wanted, timeout=5)
        inputs, outputs = (
            tuple(ReportedTensor(one.name, one.datatype, tuple(one.shape)) for one in tensors)
            for tensors in (found.inputs, found.outputs)
        )
        return Metadata(found.name, tuple(found.versions), found.platform, inputs, outputs)

    async def load(self, model: str) -> None:
        """Raises ModelAway, or ModelRejected with Triton's reason."""
        async with _errors_sorted():
            await self._line.stub.RepositoryModelLoad(
                service_pb2.RepositoryModelLoadRequest(model_name=model), timeout=120
            )

    async def load_with_weights(self, built: BuiltModel, weights: bytes, timeout_seconds: float) -> None:
        """Load a model that is in no repository; Triton keeps it until it ends. When it is loaded already, nothing
        happens. Raises ModelAway, or ModelRejected with Triton's reason."""
        config = text_format.Parse(triton_config(built), model_config_pb2.ModelConfig())
        request = service_pb2.RepositoryModelLoadRequest(model_name=built.triton_name)
        request.parameters["config"].string_param = json_format.MessageToJson(config, preserving_proto_field_name=True)
        request.parameters[f"file:1/{WEIGHTS}"].bytes_param = weights
        async with _errors_sorted():
            await self._line.stub.RepositoryModelLoad(request, timeout=timeout_seconds)

    async def unload(self, model: str) -> None:
        """Returns at once. Raises ModelAway."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        request.parameters["unload_dependents"].bool_param = False
        async with _errors_sorted():
            await self._line.stub.RepositoryModelUnload(request, timeout=30)

    async def reload(self, model: str) -> None:
        """Unload, then load: loading alone changes nothing while the configuration is the same."""
        await self.unload(model)
        await asyncio.sleep(0.5)
        await self.load(model)

    async def close(self) -> None:
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._sharing is not None:
            await self._sharing.close()
        await self._line.channel.close()

    def _share(self) -> Sharing | None:
        """Regions are known to one server; with several nobody can say which one a call goes to."""
        if self._memory is None or len(self._line.addresses) > 1:
            return None
        return Sharing(self._memory, _Regions(self._line.stub), *self._line.addresses)

    async def _leave(self, line: Line, sharing: Sharing | None) -> None:
        try:
            if sharing is not None:
                await sharing.close()
        finally:
            await line.channel.close(self._deadline)

    async def _config(self, model: str) -> Any:
        async with _errors_sorted():
            return (await self._line.stub.ModelConfig(service_pb2.ModelConfigRequest(name=model), timeout=5)).config


class _Regions:
    """What one server knows of our shared memory."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def register(self, region: str, byte_size: int) -> None:
        wanted = service_pb2.SystemSharedMemoryRegisterRequest(name=region, key=f"/{region}", byte_size=byte_size)
        try:
            await self._stub.SystemSharedMemoryRegister(wanted, timeout=_REGISTER_SECONDS)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.ALREADY_EXISTS:  # names are never used twice
                raise _refused(error) from error

    async def unregister(self, region: str) -> None:
        wanted = service_pb2.SystemSharedMemoryUnregisterRequest(name=region)
        try:
            await self._stub.SystemSharedMemoryUnregister(wanted, timeout=_REGISTER_SECONDS)
        except grpc.RpcError as error:
            raise _refused(error) from error

    async def registered(self) -> list[str]:
        wanted = service_pb2.SystemSharedMemoryStatusRequest()
        try:
            return list((await self._stub.SystemSharedMemoryStatus(wanted, timeout=_REGISTER_SECONDS)).regions)
        except grpc.RpcError as error:
            raise _refused(error) from error


def _trace() -> tuple[tuple[str, str], ...] | None:
    """Triton goes on with the trace when it is started with `--trace-config mode=opentelemetry`."""
    trace = traceparent()
    return None if trace is None else (("traceparent", trace),)


def _check_inputs(card: ModelCard, inputs: Mapping[str, Array]) -> None:
    for tensor in card.inputs:
        if inputs[tensor.name].dtype != NUMPY_TYPES[tensor.datatype]:
            raise ModelRejected(f"input {tensor.name!r} is {inputs[tensor.name].dtype}, not {tensor.datatype}")


def _is_answered(error: Any) -> bool:
    """Whether the server itself ended the call, and so no longer works on it."""
    return error.code() not in _UNANSWERED or any(words in str(error.details()) for words in _LEFT_THE_QUEUE)


def _refused(error: Any) -> Exception:
    kind = PartAway if error.code() in _UNANSWERED else RegionRefused
    return kind(f"{error.code().name}: {error.details()}"[:300])


@asynccontextmanager
async def _errors_sorted() -> AsyncIterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise _sorted(error) from error


def _sorted(error: Any) -> Exception:
    message, status = str(error.details()), error.code()
    if any(words in message for words in _PROCESS_DIED):
        return ModelBroken(message)
    if status in _TRANSIENT:
        return ModelAway(message)
    return ModelRejected(message)
