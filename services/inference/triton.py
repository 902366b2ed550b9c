"""Triton over gRPC. The only module that knows tritonclient; what it raises is sorted into three kinds here."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc.aio as grpcclient
from google.protobuf import json_format, text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from services.inference.failures import PartAway
from shared.model_card import BuiltModel, ModelCard, triton_config
from shared.model_files import WEIGHTS
from shared.tensors import Datatype, Tensor

Array = NDArray[Any]
"""What a tensor holds is checked against the card, not by its static type."""
NUMPY_TYPES: Mapping[Datatype, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
# NOT_FOUND too: "has no available versions" is what a model says while it reloads or Triton stops.
_TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.CANCELLED,
}
_STUB_DIED = "is not healthy"


class ModelAway(PartAway):
    """Triton or the model is away; the same call may work later."""


class ModelBroken(ModelAway):
    """The model says ready but cannot answer until it is loaded anew."""


class ModelRejected(Exception):
    """Triton refused this very batch; repeating it is of no use."""


class BadModelOutput(Exception):
    """The answer has another shape, type or count than the card says, or holds NaN. Never paired by position."""


@dataclass(frozen=True, slots=True)
class ReportedTensor:
    """`shape` with the batch axis, where the server counts it in; -1 where a side is free."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """A model as its server reports it."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[ReportedTensor, ...]
    outputs: tuple[ReportedTensor, ...]


class Triton:
    """One client a process and event loop. Every call has a deadline: a stopped server would hang it for ever."""

    def __init__(self, url: str, deadline_seconds: float) -> None:
        # No channel_args: passing any drops tritonclient's message-size defaults.
        self._client = grpcclient.InferenceServerClient(
            url, keepalive_options=grpcclient.KeepAliveOptions(keepalive_time_ms=15_000, keepalive_timeout_ms=10_000)
        )
        self._deadline = deadline_seconds

    async def infer(
        self, model: str, card: ModelCard, inputs: Mapping[str, Array], version: str = ""
    ) -> dict[str, Array]:
        """One array for each output of the card, first axis the batch. Without a version the server chooses one.

        Raises ModelAway, ModelRejected or BadModelOutput.
        """
        size = len(next(iter(inputs.values())))
        try:
            answer = await self._client.infer(
                model,
                [_tensor(tensor, inputs[tensor.name]) for tensor in card.inputs],
                model_version=version,
                outputs=[grpcclient.InferRequestedOutput(tensor.name) for tensor in card.outputs],
                client_timeout=self._deadline,
            )
        except InferenceServerException as error:
            raise _sorted(error) from error
        return {tensor.name: _checked(answer.as_numpy(tensor.name), tensor, size) for tensor in card.outputs}

    async def digest(self, model: str) -> str | None:
        """The digest in the loaded model's configuration; None when it carries none. Raises ModelAway."""
        try:
            answer = await self._client.get_model_config(model, as_json=True, client_timeout=5)
        except InferenceServerException as error:
            raise _sorted(error) from error
        found = answer["config"].get("parameters", {}).get("prelabel_digest", {}).get("string_value")
        return str(found) if found else None

    async def states(self) -> dict[str, tuple[str, str]]:
        """State and reason of every model Triton knows of. Raises ModelAway."""
        try:
            index = await self._client.get_model_repository_index(as_json=True, client_timeout=5)
            loaded = await self._client.get_inference_statistics(as_json=True, client_timeout=5)
        except InferenceServerException as error:
            raise _sorted(error) from error
        # What was loaded with its files stands in no repository, and so not in the index.
        return {model["name"]: ("READY", "") for model in loaded.get("model_stats", [])} | {
            model["name"]: (model.get("state", "UNAVAILABLE"), model.get("reason", ""))
            for model in index.get("models", [])
        }

    async def ready(self, model: str, version: str = "") -> bool:
        """Raises ModelAway when nobody answers."""
        try:
            return bool(await self._client.is_model_ready(model, version, client_timeout=3))
        except InferenceServerException as error:
            raise _sorted(error) from error

    async def metadata(self, model: str, version: str = "") -> Metadata:
        """Raises ModelAway, or ModelRejected."""
        try:
            found = await self._client.get_model_metadata(model, version, client_timeout=5)
        except InferenceServerException as error:
            raise _sorted(error) from error
        inputs, outputs = (
            tuple(ReportedTensor(one.name, one.datatype, tuple(one.shape)) for one in tensors)
            for tensors in (found.inputs, found.outputs)
        )
        return Metadata(found.name, tuple(found.versions), found.platform, inputs, outputs)

    async def load(self, model: str) -> None:
        """Raises ModelAway, or ModelRejected with Triton's reason."""
        try:
            await self._client.load_model(model, client_timeout=120)
        except InferenceServerException as error:
            raise _sorted(error) from error

    async def load_with_weights(self, built: BuiltModel, weights: bytes, timeout_seconds: float) -> None:
        """Load a model that is in no repository; Triton keeps it until it ends. When it is loaded already, nothing
        happens. Raises ModelAway, or ModelRejected with Triton's reason."""
        config = text_format.Parse(triton_config(built), model_config_pb2.ModelConfig())
        try:
            await self._client.load_model(
                built.triton_name,
                config=json_format.MessageToJson(config, preserving_proto_field_name=True),
                files={f"file:1/{WEIGHTS}": weights},
                client_timeout=timeout_seconds,
            )
        except InferenceServerException as error:
            raise _sorted(error) from error

    async def unload(self, model: str) -> None:
        """Returns at once. Raises ModelAway."""
        try:
            await self._client.unload_model(model, client_timeout=30)
        except InferenceServerException as error:
            raise _sorted(error) from error

    async def reload(self, model: str) -> None:
        """Unload, then load: loading alone changes nothing while the configuration is the same."""
        await self.unload(model)
        await asyncio.sleep(0.5)
        await self.load(model)

    async def close(self) -> None:
        await self._client.close()


def _tensor(tensor: Tensor, array: Array) -> grpcclient.InferInput:
    found = grpcclient.InferInput(tensor.name, list(array.shape), tensor.datatype)
    found.set_data_from_numpy(array)
    return found


def _checked(array: Array | None, tensor: Tensor, size: int) -> Array:
    if array is None:
        raise BadModelOutput(f"output {tensor.name!r} is missing")
    if array.shape[:1] != (size,) or not tensor.takes(array.shape[1:]):
        expected = [size, *tensor.shape]
        raise BadModelOutput(f"output {tensor.name!r} has shape {list(array.shape)}, expected {expected}")
    if array.dtype != NUMPY_TYPES[tensor.datatype]:
        raise BadModelOutput(f"output {tensor.name!r} is {array.dtype}, expected {tensor.datatype}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise BadModelOutput(f"output {tensor.name!r} holds NaN or infinity")
    return array


def _sorted(error: InferenceServerException) -> Exception:
    message = str(error.message())
    status = next((code for code in grpc.StatusCode if str(code) == str(error.status())), None)
    if _STUB_DIED in message:
        return ModelBroken(message)
    if status in _TRANSIENT or status is None:
        return ModelAway(message)
    return ModelRejected(message)
