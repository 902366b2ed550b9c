"""ONNX Runtime as a Python-based backend of Triton.

It stands in for NVIDIA's native `onnxruntime` backend where only the Python backend is installed, under the same name
and with the same rules, so one model repository serves both. Prelabel writes both tensor lists into every
configuration, for which the native backend completes nothing either.
"""

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from standstill import answers_in_time

_TRITON_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
_THREAD_OPTIONS = {"intra_op_thread_count": "intra_op_num_threads", "inter_op_thread_count": "inter_op_num_threads"}


@dataclass
class _Call:
    """One request as this backend needs it; `index` is its place among the requests."""

    index: int
    feeds: dict[str, Any]
    outputs: list[str]

    def shapes(self, batched: bool) -> Any:
        """Calls of equal shapes run as one batch; without a batch axis each runs alone."""
        sizes = tuple((name, array.shape[1:]) for name, array in self.feeds.items())
        return sizes if batched else self.index

    def size(self) -> int:
        return int(next(iter(self.feeds.values())).shape[0])


class TritonPythonModel:
    def initialize(self, arguments: dict[str, str]) -> None:
        config = json.loads(arguments["model_config"])
        self._batched = int(config.get("max_batch_size", 0)) > 0
        path = os.path.join(pb_utils.get_model_dir(), config.get("default_model_filename") or "model.onnx")
        self._session = ort.InferenceSession(path, _options(config), providers=_providers(arguments))
        self._inputs = {node.name: node for node in self._session.get_inputs()}
        self._outputs = [output["name"] for output in config["output"]]
        self._refuse_what_does_not_fit(config)

    @answers_in_time
    def execute(self, requests: list[Any]) -> list[Any]:
        responses: list[Any] = [None] * len(requests)
        groups: dict[Any, list[_Call]] = defaultdict(list)
        for index, request in enumerate(requests):
            try:
                call = self._call(index, request)
                groups[call.shapes(self._batched)].append(call)
            except Exception as error:  # one bad request must not fail the others
                responses[index] = _failure(error)
        for calls in groups.values():
            try:
                self._run(calls, responses)
            except Exception as error:
                for call in calls:
                    responses[call.index] = _failure(error)
        return responses

    def _call(self, index: int, request: Any) -> _Call:
        feeds = {}
        for name, node in self._inputs.items():
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is not None:
                feeds[name] = _array(tensor, node.type)
        wanted = set(request.requested_output_names())
        return _Call(index, feeds, [name for name in self._outputs if name in wanted] or self._outputs)

    def _run(self, calls: list[_Call], responses: list[Any]) -> None:
        wanted = [name for name in self._outputs if any(name in call.outputs for call in calls)]
        feeds = calls[0].feeds
        if len(calls) > 1:
            feeds = {name: np.concatenate([call.feeds[name] for call in calls]) for name in feeds}
        results = dict(zip(wanted, self._session.run(wanted, feeds), strict=True))
        start = 0
        for call in calls:
            end = start + call.size() if self._batched else None
            tensors = [
                _tensor(name, results[name][start:end] if self._batched else results[name]) for name in call.outputs
            ]
            responses[call.index] = pb_utils.InferenceResponse(output_tensors=tensors)
            start = end or 0

    def _refuse_what_does_not_fit(self, config: dict[str, Any]) -> None:
        """As the native backend does: a configuration that the file cannot serve is an error at loading."""
        if {item["name"] for item in config["input"]} != set(self._inputs):
            raise _invalid(config, f"the file has the inputs {sorted(self._inputs)}")
        for kind, nodes in (("input", self._session.get_inputs()), ("output", self._session.get_outputs())):
            by_name = {node.name: node for node in nodes}
            for item in config[kind]:
                if item["name"] not in by_name:
                    raise _invalid(config, f"the file has the {kind}s {sorted(by_name)}, not {item['name']!r}")
                self._compare(config, kind, item, by_name[item["name"]])

    def _compare(self, config: dict[str, Any], kind: str, item: dict[str, Any], node: Any) -> None:
        actual = [size if isinstance(size, int) else -1 for size in node.shape]
        if _TRITON_TYPES.get(node.type) != item["data_type"]:
            raise _invalid(config, f"{kind} {item['name']!r} is {node.type} in the file, not {item['data_type']}")
        if self._batched and actual[:1] != [-1]:
            raise _invalid(config, f"{kind} {item['name']!r} has no free batch axis in the file")
        declared = [int(size) for size in item["dims"]]
        found = actual[1:] if self._batched else actual
        # An input may pin an axis that is free in the file; an output must be declared as the file has it.
        fits = len(declared) == len(found) and all(
            have == want or (kind == "input" and have == -1) for have, want in zip(found, declared, strict=True)
        )
        if not fits:
            raise _invalid(config, f"{kind} {item['name']!r} is {found} in the file, not {declared}")


def _options(config: dict[str, Any]) -> ort.SessionOptions:
    options = ort.SessionOptions()
    for key, attribute in _THREAD_OPTIONS.items():
        given = (config.get("parameters") or {}).get(key)
        if given:
            setattr(options, attribute, int(given["string_value"]))
    return options


def _providers(arguments: dict[str, str]) -> list[Any]:
    providers: list[Any] = ["CPUExecutionProvider"]
    if arguments["model_instance_kind"] == "GPU":
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(arguments["model_instance_device_id"])}))
    return providers


# The server takes arrays of numpy 2 for empty ones, and dies of DLPack with numpy 1: each has its own way.
_NUMPY_2 = int(np.__version__.split(".", maxsplit=1)[0]) > 1


def _array(tensor: Any, kind: str) -> Any:
    if kind != "tensor(string)":
        return np.from_dlpack(tensor) if _NUMPY_2 else tensor.as_numpy()
    array = tensor.as_numpy()
    texts = [value.decode() if isinstance(value, bytes) else value for value in array.ravel()]
    return np.array(texts, dtype=object).reshape(array.shape)


def _tensor(name: str, array: Any) -> Any:
    if array.dtype == object:
        array = np.array([str(value).encode() for value in array.ravel()], dtype=object).reshape(array.shape)
        return pb_utils.Tensor(name, array)
    array = np.ascontiguousarray(array)
    return pb_utils.Tensor.from_dlpack(name, array) if _NUMPY_2 else pb_utils.Tensor(name, array)


def _failure(error: Exception) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(f"onnx runtime error: {error}"))


def _invalid(config: dict[str, Any], reason: str) -> Exception:
    failure: Exception = pb_utils.TritonModelException(f"model '{config['name']}': {reason}")
    return failure
