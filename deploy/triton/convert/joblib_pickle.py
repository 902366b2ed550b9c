"""What joblib stored of an estimator, read without scikit-learn and without running what a pickle may ask for.

Every object becomes the dictionary of its attributes. NumPy arrays lie between the pickle's own bytes, each after its
wrapper; that is why the pickle module's Python implementation is used, which can be stopped there.
"""

import pickle
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from deploy.triton.convert.graph import Array

_FROM_NUMPY = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "float64"): np.float64,
    ("numpy._core.multiarray", "scalar"): lambda dtype, raw: np.frombuffer(raw, dtype)[0],
}


class Attributes(dict[str, Any]):
    """An object whose class is not there: only what it held."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.update(state)


class _ArrayWrapper(Attributes):
    def read(self, file: IO[bytes]) -> Array:
        if self.get("numpy_array_alignment_bytes") is not None:
            file.read(file.read(1)[0])
        dtype, shape = self["dtype"], self["shape"]
        if dtype.hasobject:
            raise pickle.UnpicklingError("an array of objects is not allowed")
        size = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(file.read(size * dtype.itemsize), dtype).reshape(shape, order=self["order"])


# Under a name that type checkers do not know: the implementation in Python, whose steps can be replaced.
_PURE: Any = vars(pickle)["_Unpickler"]


class _Unpickler(_PURE):  # type: ignore[misc]
    dispatch: ClassVar[dict[int, Any]] = dict(_PURE.dispatch)

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return _ArrayWrapper
        return _FROM_NUMPY.get((module, name), Attributes)

    def load_build(self) -> None:
        super().load_build()
        if isinstance(self.stack[-1], _ArrayWrapper):
            self.stack[-1] = self.stack[-1].read(self._file)

    dispatch[pickle.BUILD[0]] = load_build


def read_attributes(path: Path) -> Attributes:
    with path.open("rb") as file:
        found = _Unpickler(file).load()
    if not isinstance(found, Attributes):
        raise pickle.UnpicklingError(f"{path.name} does not hold one object")
    return found
