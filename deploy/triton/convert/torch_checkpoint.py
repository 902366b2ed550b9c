"""A PyTorch checkpoint's tensors, read without PyTorch and without running what a pickle may ask for."""

import collections
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from deploy.triton.convert.graph import Array

_STORAGES: dict[str, type[np.generic]] = {"FloatStorage": np.float32, "LongStorage": np.int64}
_LEGACY_HEADER_PICKLES = 3  # magic number, protocol version, system information


@dataclass(frozen=True)
class _View:
    """A tensor as the pickle tells it: a part of a storage whose bytes come later."""

    storage: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self, storages: dict[str, Array]) -> Array:
        data = storages[self.storage]
        strides = [step * data.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.size, strides).copy()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.dtypes: dict[str, type[np.generic]] = {}

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda key, offset, size, stride, *_: _View(
                key, offset, size, stride
            ),
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")
        return allowed[module, name]

    def persistent_load(self, reference: Any) -> str:
        _, dtype, key, *_ = reference
        self.dtypes[key] = dtype
        return str(key)


def read_tensors(path: Path) -> dict[str, Array]:
    views, storages = _from_zip(path) if zipfile.is_zipfile(path) else _from_legacy(path)
    return {name: view.read(storages) for name, view in views.items()}


def _from_zip(path: Path) -> tuple[dict[str, _View], dict[str, Array]]:
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
        with archive.open(f"{root}/data.pkl") as file:
            unpickler = _Unpickler(file)
            views = unpickler.load()
        dtypes = unpickler.dtypes
        return views, {key: np.frombuffer(archive.read(f"{root}/data/{key}"), kind) for key, kind in dtypes.items()}


def _from_legacy(path: Path) -> tuple[dict[str, _View], dict[str, Array]]:
    with path.open("rb") as file:
        for _ in range(_LEGACY_HEADER_PICKLES):
            _Unpickler(file).load()
        unpickler = _Unpickler(file)
        views = unpickler.load()
        storages = {}
        for key in _Unpickler(file).load():
            count = int.from_bytes(file.read(8), "little")
            kind = np.dtype(unpickler.dtypes[key])
            storages[key] = np.frombuffer(file.read(count * kind.itemsize), kind)
        return views, storages
