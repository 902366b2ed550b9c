"""What Triton runs of every stand-in: it waits as long as a GPU would work, and answers what `behaviour.json` says.

The rows of all requests of a call wait together, as one batch on a device does. It sleeps, so that instances do not
take the processor from one another or from what is measured.
"""

import json
import os
import struct
import time
from contextlib import suppress
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from standstill import answers_in_time

# The server takes arrays of numpy 2 for empty ones, and dies of DLPack with numpy 1: each has its own way.
_NUMPY_2 = int(np.__version__.split(".", maxsplit=1)[0]) > 1

_HANGS_SECONDS = 30


class TritonPythonModel:
    def initialize(self, arguments: dict[str, str]) -> None:
        config = json.loads(arguments["model_config"])
        with open(os.path.join(pb_utils.get_model_dir(), "behaviour.json"), "rb") as file:
            behaviour = json.load(file)
        self._input = config["input"][0]["name"]
        self._batch_seconds, self._row_seconds = behaviour["batch_ms"] / 1000, behaviour["row_ms"] / 1000
        self._parity: str | None = behaviour["parity"]
        calls = os.path.join(pb_utils.get_model_dir(), "calls")
        self._calls = os.open(calls, os.O_CREAT | os.O_APPEND | os.O_WRONLY) if behaviour["records"] else None
        self._hang: str | None = os.path.join(pb_utils.get_model_dir(), "hang") if behaviour["hangs"] else None
        most = config["max_batch_size"]
        self._constants = {
            name: np.repeat(np.array(one["row"], one["datatype"])[None], most, axis=0)
            for name, one in behaviour["constants"].items()
        }

    @answers_in_time
    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = [pb_utils.get_input_tensor_by_name(request, self._input) for request in requests]
        counts = [tensor.shape()[0] for tensor in inputs]
        if self._calls is not None:
            os.write(self._calls, struct.pack("<qq", time.time_ns(), sum(counts)))
        if self._hang is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._hang)
                time.sleep(_HANGS_SECONDS)
        if wait := self._batch_seconds + self._row_seconds * sum(counts):
            time.sleep(wait)
        return [self._response(tensor, count) for tensor, count in zip(inputs, counts, strict=True)]

    def _response(self, tensor: Any, count: int) -> Any:
        tensors = [_tensor(name, rows[:count]) for name, rows in self._constants.items()]
        if self._parity is not None:
            tensors.append(_tensor(self._parity, _parity(_array(tensor))))
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _parity(texts: Any) -> Any:
    """0.9 for the column of the sum of the text's bytes: even, odd."""
    odd = texts.sum(axis=1, dtype=np.int64) & 1
    return np.where(np.arange(2) == odd[:, None], np.float32(0.9), np.float32(0.1))


def _array(tensor: Any) -> Any:
    return np.from_dlpack(tensor) if _NUMPY_2 else tensor.as_numpy()


def _tensor(name: str, array: Any) -> Any:
    return pb_utils.Tensor.from_dlpack(name, array) if _NUMPY_2 else pb_utils.Tensor(name, array)
