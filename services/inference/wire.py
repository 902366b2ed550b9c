"""An inference as bytes: the request put together from parts that are known beforehand, and what the answer says."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from services.inference.shared_memory import Place
from services.inference.tensors import NUMPY_TYPES, Array, BadModelOutput, Said, content_of
from shared.tensors import Tensor

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
def head_of(model: str, version: str, outputs: Sequence[str]) -> bytes:
    """What is the same in every call of a model. Messages of protobuf are put together by joining their bytes."""
    tensors = [service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs]
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version, outputs=tensors)
    return bytes(request.SerializeToString())


@lru_cache(4096)
def _input(name: str, datatype: str, shape: tuple[int, ...], place: Place | None) -> bytes:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    if place is not None:
        tensor.parameters["shared_memory_region"].string_param = place.region
        tensor.parameters["shared_memory_offset"].int64_param = place.offset
        tensor.parameters["shared_memory_byte_size"].int64_param = place.byte_size
    return bytes(service_pb2.ModelInferRequest(inputs=[tensor]).SerializeToString())


def request_of(
    head: bytes, tensors: Sequence[Tensor], inputs: Mapping[str, Array], places: Mapping[str, Place]
) -> bytes:
    """What lies at no place is part of it, copied once."""
    parts: list[Any] = [head]
    for tensor in tensors:
        array, place = inputs[tensor.name], places.get(tensor.name)
        parts.append(_input(tensor.name, tensor.datatype, array.shape, place))
        if place is None:
            content = content_of(array)
            parts += (_field(_RAW_INPUT, len(content)), content)
    return b"".join(parts)


def _field(tag: int, length: int) -> bytes:
    """The head of a field of bytes: its tag, and its length in groups of seven bits."""
    found = bytearray((tag,))
    while length > 0x7F:  # noqa: PLR2004 - seven bits
        found.append(length & 0x7F | 0x80)
        length >>= 7
    found.append(length)
    return bytes(found)


def described(answer: Any) -> dict[str, Said]:
    """The outputs of an answer by name. Raises BadModelOutput when they cannot be told apart."""
    raw = list(answer.raw_output_contents)
    if raw and len(raw) != len(answer.outputs):
        raise BadModelOutput(f"{len(raw)} contents for {len(answer.outputs)} outputs")
    said: dict[str, Said] = {}
    for index, output in enumerate(answer.outputs):
        if output.name in said:
            raise BadModelOutput(f"output {output.name!r} comes twice")
        content = raw[index] if raw else _typed(output)
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
