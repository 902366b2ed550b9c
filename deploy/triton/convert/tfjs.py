"""A TensorFlow.js graph model (`model.json` and its `.bin` files), read without TensorFlow."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from deploy.triton.convert.graph import Array

_DTYPES: dict[str, type[np.generic]] = {"float32": np.float32, "int32": np.int32, "float16": np.float16}


@dataclass(frozen=True)
class Node:
    name: str
    operator: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any]

    def integers(self, key: str, otherwise: Sequence[int] = ()) -> list[int]:
        found = self.attributes.get(key, {"list": {}})["list"].get("i", otherwise)
        return [int(value) for value in found]

    def text(self, key: str) -> str:
        return _text(self.attributes[key]["s"])

    def texts(self, key: str) -> list[str]:
        return [_text(value) for value in self.attributes[key]["list"]["s"]]

    def flag(self, key: str) -> bool:
        return bool(self.attributes.get(key, {}).get("b", False))


class TfjsModel:
    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_bytes())
        self._weights = _weights(document["weightsManifest"], path.parent)
        self._nodes = {entry["name"]: _node(entry) for entry in document["modelTopology"]["node"]}

    def weight(self, name: str) -> Array:
        return self._weights[name]

    def node(self, name: str) -> Node:
        return self._nodes[name]

    def constant(self, reference: str) -> Array | None:
        """The constant behind a tensor's name, or None; folds the little arithmetic that makes shapes."""
        name = reference.partition(":")[0]
        if name in self._weights:
            return self._weights[name]
        node = self._nodes[name]
        if node.operator not in _FOLDS:
            return None
        values = [self.constant(entry) for entry in node.inputs]
        return None if any(value is None for value in values) else cast(Array, _FOLDS[node.operator](*values))


def _text(value: str | list[int]) -> str:
    """Newer converters write the bytes in base64, older ones as a list."""
    return (base64.b64decode(value) if isinstance(value, str) else bytes(value)).decode()


def _sparse_to_dense(indices: Array, shape: Array, values: Array, default: Array) -> Array:
    dense = np.full(tuple(int(size) for size in shape), default)
    dense[tuple(indices.reshape(-1, dense.ndim).T.astype(int))] = values
    return dense


_FOLDS: dict[str, Callable[..., Any]] = {"SparseToDense": _sparse_to_dense, "AddV2": np.add}


def _node(entry: dict[str, Any]) -> Node:
    # A leading caret marks an input that only orders the execution.
    inputs = tuple(name for name in entry.get("input", []) if not name.startswith("^"))
    return Node(entry["name"], entry["op"], inputs, entry.get("attr", {}))


def _weights(manifest: list[dict[str, Any]], folder: Path) -> dict[str, Array]:
    weights: dict[str, Array] = {}
    for group in manifest:
        blob = b"".join((folder / name).read_bytes() for name in group["paths"])
        at = 0
        for entry in group["weights"]:
            stored = np.dtype(_DTYPES[entry.get("quantization", entry)["dtype"]])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(blob, stored, count, at)
            weights[entry["name"]] = values.astype(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
            at += count * stored.itemsize
    return weights
