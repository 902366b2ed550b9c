"""An ONNX graph under construction: fresh names, constants, and how it is saved."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

# Triton's own ONNX Runtime is older than the one that converts: stay within what it reads.
OPSET, IR_VERSION = 15, 8

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Value:
    """A named input or output; a string in `shape` is a free axis."""

    name: str
    element_type: int
    shape: Sequence[int | str]


@dataclass
class Graph:
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def emit(self, operator: str, inputs: Sequence[str], *, out: str | None = None, **attributes: Any) -> str:
        """Add an operator with one output and give that output's name."""
        name = out or self._fresh("value")
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def emit_many(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))

    def constant(self, value: npt.ArrayLike) -> str:
        array = np.asarray(value)
        name = self._fresh("constant")
        # Shapes, axes and indices are INT64 in ONNX, INT32 where they come from.
        self.constants[name] = array.astype(np.int64) if array.dtype == np.int32 else array
        return name

    def floats(self, value: npt.ArrayLike) -> str:
        return self.constant(np.asarray(value, np.float32))

    def _fresh(self, kind: str) -> str:
        return f"{kind}_{len(self.nodes) + len(self.constants)}"


def save(graph: Graph, path: Path) -> None:
    """Check the graph, fold what is constant, and write it."""
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "model",
            [_info(value) for value in graph.inputs],
            [_info(value) for value in graph.outputs],
            [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model)
    onnx.save(_simplified(model), path)


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """The basic optimizations only: they cancel transposes and know nothing of this machine's processor."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        options.log_severity_level = 3
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        best = onnx.load(options.optimized_model_filepath)
    best.ir_version = IR_VERSION
    used = {node.domain for node in best.graph.node} | {""}
    imports = [entry for entry in best.opset_import if entry.domain in used]
    del best.opset_import[:]
    best.opset_import.extend(imports)
    return best


def _info(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, value.element_type, value.shape)
