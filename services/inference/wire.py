"""An inference as bytes: the request put together from parts that are known beforehand, and what the answer says."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from services.inference.shared_memory import Extent
from services.inference.sharing import Shared
from services.inference.tensors import NUMPY_TYPES, Array, BadModelOutput, Said, content_of
from shared.model_card import ModelCard

_RAW_INPUT = service_pb2.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number << 3 | 2
# Where servers that are no Triton put the values, which need not be raw bytes there.
_TYPED_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@lru_cache(256)
def head_of(model: str, version: str) -> bytes:
    """What is the same in every call of a model. Messages of protobuf are put together by joining their bytes."""
    return bytes(service_pb2.ModelInferRequest(model_name=model, model_version=version).SerializeToString())


@lru_cache(4096)
def _input(name: str, datatype: str, shape: tuple[int, ...], place: Extent | None) -> bytes:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    _put(tensor, place)
    return bytes(service_pb2.ModelInferRequest(inputs=[tensor]).SerializeToString())


@lru_cache(4096)
def _output(name: str, place: Extent | None) -> bytes:
    tensor = service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name)
    _put(tensor, place)
    return bytes(service_pb2.ModelInferRequest(outputs=[tensor]).SerializeToString())


def _put(tensor: Any, place: Extent | None) -> None:
    if place is not None:
        tensor.parameters["shared_memory_region"].string_param = place.region
        tensor.parameters["shared_memory_offset"].int64_param = place.offset
        tensor.parameters["shared_memory_byte_size"].int64_param = place.byte_size


def request_of(head: bytes, card: ModelCard, inputs: Mapping[str, Array], shared: Shared) -> bytes:
    """What is not shared is part of it, copied once."""
    parts: list[Any] = [head]
    for tensor in card.inputs:
        array, place = inputs[tensor.name], shared.inputs.get(tensor.name)
        parts.append(_input(tensor.name, tensor.datatype, array.shape, place))
        if place is None:
            content = content_of(array)
            parts += (_field(_RAW_INPUT, len(content)), content)
    parts += (_output(tensor.name, shared.outputs.get(tensor.name)) for tensor in card.outputs)
    return b"".join(parts)


def _field(tag: int, length: int) -> bytes:
    """The head of a field of bytes: its tag, and its length in groups of seven bits."""
    found = bytearray((tag,))
    while length > 0x7F:  # noqa: PLR2004 - seven bits
        found.append(length & 0x7F | 0x80)
        length >>= 7
    found.append(length)
    return bytes(found)


def described(answer: Any, written: Mapping[str, Array]) -> dict[str, Said]:
    """The outputs of an answer by name; those `written` into shared memory come without contents.

    Raises BadModelOutput when they cannot be told apart.
    """
    raw = list(answer.raw_output_contents)
    if raw and len(raw) != len(answer.outputs):
        raise BadModelOutput(f"{len(raw)} contents for {len(answer.outputs)} outputs")
    said: dict[str, Said] = {}
    for index, output in enumerate(answer.outputs):
        if output.name in said:
            raise BadModelOutput(f"output {output.name!r} comes twice")
        content = raw[index] if raw else _typed(output)
        if output.name in written and not len(content or b""):
            content = written[output.name]
        said[output.name] = Said(output.datatype, tuple(output.shape), content)
    return said


def _typed(output: Any) -> Array | None:
    field = _TYPED_CONTENTS.get(output.datatype)
    if field is None:
        return None
    values = list(getattr(output.contents, field))
    found = np.empty(len(values), NUMPY_TYPES[output.datatype])
    found[:] = values
    return found
