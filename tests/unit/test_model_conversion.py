"""TensorFlow.js operators as ONNX, and the ends of the detectors: on small graphs, against what they should compute."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from deploy.triton.convert.candidates import keep_surest
from deploy.triton.convert.graph import Graph, Value
from deploy.triton.convert.tfjs import TfjsModel
from deploy.triton.convert.tfjs_operators import Translation

Floats = NDArray[np.float32]


def tfjs(
    folder: Path, operator: str, inputs: Sequence[str], attributes: Mapping[str, Any], weights: Mapping[str, Floats]
) -> Path:
    """A model of one operator, its weights in two files."""
    blob = b"".join(array.astype(np.float32).tobytes() for array in weights.values())
    (folder / "weights-1").write_bytes(blob[:3])
    (folder / "weights-2").write_bytes(blob[3:])
    entries = [{"name": name, "shape": list(array.shape), "dtype": "float32"} for name, array in weights.items()]
    constants = [{"name": name, "op": "Const"} for name in weights]
    nodes = [{"name": "x", "op": "Placeholder"}, *constants]
    nodes.append({"name": "y", "op": operator, "input": list(inputs), "attr": dict(attributes)})  # type: ignore[dict-item]
    document = {
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": ["weights-1", "weights-2"], "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(document))
    return folder / "model.json"


def computed(model: Path, x: Floats) -> Floats:
    """What the translated operator makes of `x`."""
    graph = Graph(inputs=[Value("images", TensorProto.FLOAT, list(x.shape))])
    network = Translation(TfjsModel(model), graph)
    network.bind("x", "images")
    value = network.tensor("y")
    graph.outputs.append(Value(value, TensorProto.FLOAT, [None] * x.ndim))  # type: ignore[list-item]
    return run(graph, {"images": x})[0]


def run(graph: Graph, inputs: Mapping[str, Floats]) -> list[Floats]:
    answers: Any = ReferenceEvaluator(graph.model()).run(None, dict(inputs))
    return list(answers)


def words(text: str) -> dict[str, str]:
    return {"s": base64.b64encode(text.encode()).decode()}


def numbers(*values: int) -> dict[str, Any]:
    return {"list": {"i": [str(value) for value in values]}}


WINDOW = {"strides": numbers(1, 1, 1, 1), "padding": words("VALID")}


@pytest.fixture
def x() -> Floats:
    return np.random.default_rng(0).normal(0, 4, (2, 4, 5, 3)).astype(np.float32)


def test_a_depthwise_convolution_keeps_channels_apart(tmp_path: Path, x: Floats) -> None:
    kernel = np.arange(18, dtype=np.float32).reshape(2, 3, 3, 1)
    y = computed(tfjs(tmp_path, "DepthwiseConv2dNative", ["x", "w"], WINDOW, {"w": kernel}), x)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(1, 2))
    assert np.allclose(y, np.einsum("nhwcij,ijc->nhwc", windows, kernel[..., 0]), atol=1e-3)


def test_a_fused_convolution_adds_and_cuts(tmp_path: Path, x: Floats) -> None:
    kernel, bias = np.ones((1, 1, 3, 2), np.float32), np.array([1, -1], np.float32)
    attributes = WINDOW | {"fused_ops": {"list": {"s": [words("BiasAdd")["s"], words("Relu")["s"]]}}}
    y = computed(tfjs(tmp_path, "_FusedConv2D", ["x", "w", "b"], attributes, {"w": kernel, "b": bias}), x)
    assert np.allclose(y, np.maximum(x.sum(axis=-1, keepdims=True) + bias, 0), atol=1e-4)


def test_words_may_be_lists_of_bytes(tmp_path: Path, x: Floats) -> None:
    attributes = WINDOW | {"padding": {"s": list(b"VALID")}, "ksize": numbers(1, 2, 2, 1)}
    y = computed(tfjs(tmp_path, "AvgPool", ["x"], attributes, {}), x)
    assert np.allclose(y, (x[:, 1:, 1:] + x[:, 1:, :-1] + x[:, :-1, 1:] + x[:, :-1, :-1]) / 4, atol=1e-4)


def test_a_transposed_convolution_spreads_pixels(tmp_path: Path, x: Floats) -> None:
    kernel = np.random.default_rng(1).normal(size=(2, 2, 1, 3)).astype(np.float32)  # height, width, to, from
    attributes = WINDOW | {"strides": numbers(1, 2, 2, 1)}
    shape = np.array([2, 8, 10, 1], np.float32)
    model = tfjs(tmp_path, "Conv2DBackpropInput", ["s", "w", "x"], attributes, {"s": shape, "w": kernel})
    spread = np.einsum("nhwc,ijoc->nhiwjo", x, kernel).reshape(2, 8, 10, 1)
    assert np.allclose(computed(model, x), spread, atol=1e-4)


def test_normalization_and_relu6(tmp_path: Path, x: Floats) -> None:
    scale, offset, mean, variance = (np.array(row, np.float32) for row in ([1, 2, 3], [0, 1, 2], [1, 0, 1], [4, 1, 9]))
    weights = {"scale": scale, "offset": offset, "mean": mean, "variance": variance}
    model = tfjs(tmp_path, "FusedBatchNorm", ["x", *weights], {"epsilon": {"f": 0.001}}, weights)
    assert np.allclose(computed(model, x), (x - mean) / np.sqrt(variance + 0.001) * scale + offset, atol=1e-3)
    assert np.allclose(computed(tfjs(tmp_path, "Relu6", ["x"], {}, {}), x), np.clip(x, 0, 6))


def test_an_unknown_fusion_is_refused(tmp_path: Path, x: Floats) -> None:
    attributes = WINDOW | {"fused_ops": {"list": {"s": [words("Elu")["s"]]}}}
    model = tfjs(tmp_path, "_FusedConv2D", ["x", "w"], attributes, {"w": np.ones((1, 1, 3, 2), np.float32)})
    with pytest.raises(NotImplementedError, match="Elu"):
        computed(model, x)


def test_the_surest_places_bring_their_lines() -> None:
    graph = Graph(
        inputs=[Value("all", TensorProto.FLOAT, ["N", 5]), Value("table", TensorProto.FLOAT, ["N", 5, 2])],
        outputs=[Value("scores", TensorProto.FLOAT, ["N", 2]), Value("lines", TensorProto.FLOAT, ["N", 2, 2])],
    )
    keep_surest(graph, "all", 2, {"lines": ("table", 2)})
    scores = np.array([[0.1, 0.9, 0.2, 0.5, 0.3], [0.6, 0.1, 0.2, 0.3, 0.7]], np.float32)
    table = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    best, lines = run(graph, {"all": scores, "table": table})
    assert best.tolist() == scores[[[0], [1]], [[1, 3], [4, 0]]].tolist()
    assert lines.tolist() == table[[[0], [1]], [[1, 3], [4, 0]]].tolist()
