"""An ONNX graph under construction: fresh names, constants, and the model it makes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
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
    opset: int = OPSET

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

    def model(self) -> onnx.ModelProto:
        """Checked."""
        model = helper.make_model(
            helper.make_graph(
                self.nodes,
                "model",
                [_info(value) for value in self.inputs],
                [_info(value) for value in self.outputs],
                [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
            ),
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model)
        return model


def _info(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, value.element_type, value.shape)
