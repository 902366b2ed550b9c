"""Arrays to bytes and back, as the protocol lays them out. What comes back is checked here, before anybody uses it."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
_LENGTH = struct.Struct("<I")


class BadModelOutput(Exception):
    """The answer has another shape, type or count than the card says, or holds NaN. Never paired by position."""


@dataclass(frozen=True, slots=True)
class Said:
    """An output as the server describes it; `content` is its bytes, or the values themselves, or nothing."""

    datatype: str
    shape: tuple[int, ...]
    content: bytes | Array | None


def content_of(array: Array) -> "bytes | Array":
    """The bytes of a tensor, copied only where they must be."""
    if array.dtype != np.object_:
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    parts: list[bytes] = []
    for text in array.ravel().tolist():
        parts += (_LENGTH.pack(len(text)), text)
    return b"".join(parts)


def read_output(said: Said | None, tensor: Tensor, size: int) -> Array:
    """One entry a row, as the card says. Raises BadModelOutput."""
    if said is None or said.content is None:
        raise BadModelOutput(f"output {tensor.name!r} is missing")
    if said.shape[:1] != (size,) or not tensor.takes(said.shape[1:]):
        expected = [size, *tensor.shape]
        raise BadModelOutput(f"output {tensor.name!r} has shape {list(said.shape)}, expected {expected}")
    if said.datatype != tensor.datatype:
        raise BadModelOutput(f"output {tensor.name!r} is {said.datatype}, expected {tensor.datatype}")
    array = _values(said.content, tensor, math.prod(said.shape)).reshape(said.shape)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadModelOutput(f"output {tensor.name!r} holds NaN or infinity")
    return array


def _values(content: "bytes | Array", tensor: Tensor, count: int) -> Array:
    if isinstance(content, np.ndarray):
        found = content
    elif tensor.datatype == "BYTES":
        found = np.empty(count, np.object_)
        found[:] = _texts(content, tensor, count)
    else:
        kind = np.dtype(NUMPY_TYPES[tensor.datatype])
        if len(content) != count * kind.itemsize:
            raise BadModelOutput(f"output {tensor.name!r} has {len(content)} bytes, not {count * kind.itemsize}")
        found = np.frombuffer(content, kind)
    if found.size != count:
        raise BadModelOutput(f"output {tensor.name!r} has {found.size} values, not {count}")
    return found


def _texts(content: bytes, tensor: Tensor, count: int) -> list[bytes]:
    """Each behind its length."""
    texts: list[bytes] = []
    place = 0
    while place + _LENGTH.size <= len(content) and len(texts) < count:
        start = place + _LENGTH.size
        place = start + _LENGTH.unpack_from(content, place)[0]
        texts.append(content[start:place])
    if place != len(content) or len(texts) != count:
        raise BadModelOutput(f"output {tensor.name!r} is cut, or has not {count} texts")
    return texts
