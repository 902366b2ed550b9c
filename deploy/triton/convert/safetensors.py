"""The tensors of a safetensors file: a JSON header with places, then the bytes."""

import json
from pathlib import Path

import numpy as np

from deploy.triton.convert.graph import Array

_LENGTH_BYTES = 8
_DTYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def read_tensors(path: Path) -> dict[str, Array]:
    content = path.read_bytes()
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(content[_LENGTH_BYTES:start])
    found = {}
    for name, place in header.items():
        if name != "__metadata__":
            first, end = place["data_offsets"]
            raw = content[start + first : start + end]
            found[name] = np.frombuffer(raw, _DTYPES[place["dtype"]]).reshape(place["shape"])
    return found
