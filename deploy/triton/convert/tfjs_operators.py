"""TensorFlow.js operators as ONNX. To add one: write its function, name it in `OPERATORS`.

Each operator that needs channels first is written as transpose, operator, transpose back; saving cancels them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deploy.triton.convert.graph import Array, Graph
from deploy.triton.convert.tfjs import Node, TfjsModel

TO_CHANNELS_FIRST, TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


class Translation:
    """Writes into `graph` what the wanted tensors of a TensorFlow.js model need."""

    def __init__(self, model: TfjsModel, graph: Graph) -> None:
        self.model, self.graph = model, graph
        self._done: set[str] = set()

    def bind(self, placeholder: str, value: str) -> None:
        """Let the model's input be a value that the graph already has."""
        self.graph.emit("Identity", [value], out=f"{placeholder}:0")
        self._done.add(placeholder)

    def tensor(self, reference: str) -> str:
        constant = self.model.constant(reference)
        if constant is not None:
            return self.graph.constant(constant)
        name, _, port = reference.partition(":")
        if name not in self._done:
            self._done.add(name)
            node = self.model.node(name)
            OPERATORS[node.operator](self, node)
        return f"{name}:{port or 0}"

    def fixed(self, reference: str) -> Array:
        constant = self.model.constant(reference)
        if constant is None:
            raise ValueError(f"{reference} is computed, a constant was expected")
        return constant

    def put(self, node: Node, value: str) -> None:
        self.graph.emit("Identity", [value], out=f"{node.name}:0")

    def channels_first(self, operator: str, first: str, rest: Sequence[str], attributes: dict[str, Any]) -> str:
        turned = self.graph.emit("Transpose", [first], perm=TO_CHANNELS_FIRST)
        value = self.graph.emit(operator, [turned, *rest], **attributes)
        return self.graph.emit("Transpose", [value], perm=TO_CHANNELS_LAST)


def _same(operator: str) -> "Operator":
    def translate(to: Translation, node: Node) -> None:
        to.put(node, to.graph.emit(operator, [to.tensor(name) for name in node.inputs]))

    return translate


def _leaky_relu(to: Translation, node: Node) -> None:
    alpha = float(node.attributes["alpha"]["f"])
    to.put(node, to.graph.emit("LeakyRelu", [to.tensor(node.inputs[0])], alpha=alpha))


def _relu6(to: Translation, node: Node) -> None:
    bounds = [to.graph.floats(0), to.graph.floats(6)]
    to.put(node, to.graph.emit("Clip", [to.tensor(node.inputs[0]), *bounds]))


def _batch_norm(to: Translation, node: Node) -> None:
    # Scale, offset, mean and variance, in this order in both.
    fixed = [to.graph.constant(to.fixed(name)) for name in node.inputs[1:5]]
    attributes = {"epsilon": float(node.attributes["epsilon"]["f"])}
    to.put(node, to.channels_first("BatchNormalization", to.tensor(node.inputs[0]), fixed, attributes))


def _window(node: Node) -> dict[str, Any]:
    padding = "SAME_UPPER" if node.text("padding") == "SAME" else "VALID"
    return {"strides": node.integers("strides")[1:3], "auto_pad": padding}


def _convolution(to: Translation, node: Node) -> None:
    to.put(node, _convolved(to, node, []))


def _fused_convolution(to: Translation, node: Node) -> None:
    fused = node.texts("fused_ops")
    if fused not in (["BiasAdd"], ["BiasAdd", "Relu"]):
        raise NotImplementedError(f"{node.name}: a convolution fused with {fused} is not translated")
    value = _convolved(to, node, [to.graph.constant(to.fixed(node.inputs[2]))])
    to.put(node, to.graph.emit("Relu", [value]) if "Relu" in fused else value)


def _convolved(to: Translation, node: Node, bias: Sequence[str]) -> str:
    weight = np.ascontiguousarray(to.fixed(node.inputs[1]).transpose(3, 2, 0, 1))
    attributes = _window(node) | {"dilations": node.integers("dilations", [1] * 4)[1:3]}
    return to.channels_first("Conv", to.tensor(node.inputs[0]), [to.graph.constant(weight), *bias], attributes)


def _depthwise(to: Translation, node: Node) -> None:
    height, width, channels, multiplier = to.fixed(node.inputs[1]).shape
    turned = to.fixed(node.inputs[1]).transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    attributes = _window(node) | {"dilations": node.integers("dilations", [1] * 4)[1:3], "group": channels}
    weight = to.graph.constant(np.ascontiguousarray(turned))
    to.put(node, to.channels_first("Conv", to.tensor(node.inputs[0]), [weight], attributes))


def _transposed_convolution(to: Translation, node: Node) -> None:
    weight = np.ascontiguousarray(to.fixed(node.inputs[1]).transpose(3, 2, 0, 1))
    value = to.channels_first("ConvTranspose", to.tensor(node.inputs[2]), [to.graph.constant(weight)], _window(node))
    to.put(node, value)


def _pool(operator: str) -> "Operator":
    def translate(to: Translation, node: Node) -> None:
        attributes = _window(node) | {"kernel_shape": node.integers("ksize")[1:3]}
        to.put(node, to.channels_first(operator, to.tensor(node.inputs[0]), [], attributes))

    return translate


def _pad(to: Translation, node: Node) -> None:
    pads = to.fixed(node.inputs[1]).T.reshape(-1).astype(np.int64)
    fill = [to.graph.floats(to.fixed(reference)) for reference in node.inputs[2:]]  # PadV2 has one, Pad has none
    to.put(node, to.graph.emit("Pad", [to.tensor(node.inputs[0]), to.graph.constant(pads), *fill]))


def _transpose(to: Translation, node: Node) -> None:
    order = [int(axis) for axis in to.fixed(node.inputs[1])]
    to.put(node, to.graph.emit("Transpose", [to.tensor(node.inputs[0])], perm=order))


def _concatenate(to: Translation, node: Node) -> None:
    *parts, axis = node.inputs
    to.put(node, to.graph.emit("Concat", [to.tensor(part) for part in parts], axis=int(to.fixed(axis))))


def _split(to: Translation, node: Node) -> None:
    sizes = to.fixed(node.inputs[1]).astype(np.int64)
    inputs = [to.tensor(node.inputs[0]), to.graph.constant(sizes)]
    outputs = [f"{node.name}:{index}" for index in range(len(sizes))]
    to.graph.emit_many("Split", inputs, outputs, axis=int(to.fixed(node.inputs[2])))


def _reshape(to: Translation, node: Node) -> None:
    shape = to.fixed(node.inputs[1]).astype(np.int64).copy()
    # The model was exported for one picture; the first axis is to stay free.
    shape[0] = 0 if -1 in shape[1:] else -1
    to.put(node, to.graph.emit("Reshape", [to.tensor(node.inputs[0]), to.graph.constant(shape)]))


def _resize_bilinear(to: Translation, node: Node) -> None:
    if node.flag("align_corners"):
        raise NotImplementedError(f"{node.name}: resizing by aligned corners is not translated")
    graph = to.graph
    value = graph.emit("Transpose", [to.tensor(node.inputs[0])], perm=TO_CHANNELS_FIRST)
    first_two = graph.emit("Slice", [graph.emit("Shape", [value]), graph.constant([0]), graph.constant([2])])
    size = graph.constant(to.fixed(node.inputs[1]).astype(np.int64))
    sizes = graph.emit("Concat", [first_two, size], axis=0)
    places = "half_pixel" if node.flag("half_pixel_centers") else "asymmetric"
    value = graph.emit("Resize", [value, "", "", sizes], mode="linear", coordinate_transformation_mode=places)
    to.put(node, graph.emit("Transpose", [value], perm=TO_CHANNELS_LAST))


Operator = Callable[[Translation, Node], None]

OPERATORS: dict[str, Operator] = {
    "Add": _same("Add"),
    "AddN": _same("Sum"),
    "AddV2": _same("Add"),
    "AvgPool": _pool("AveragePool"),
    "BiasAdd": _same("Add"),
    "ConcatV2": _concatenate,
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "DepthwiseConv2dNative": _depthwise,
    "FusedBatchNorm": _batch_norm,
    "Identity": _same("Identity"),
    "LeakyRelu": _leaky_relu,
    "MaxPool": _pool("MaxPool"),
    "Mul": _same("Mul"),
    "Pad": _pad,
    "PadV2": _pad,
    "Relu": _same("Relu"),
    "Relu6": _relu6,
    "Reshape": _reshape,
    "ResizeBilinear": _resize_bilinear,
    "Sigmoid": _same("Sigmoid"),
    "SplitV": _split,
    "Sub": _same("Sub"),
    "Transpose": _transpose,
    "_FusedConv2D": _fused_convolution,
}
