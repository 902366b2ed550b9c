"""Small ONNX models made for tests, good and bad ones, and the cards that go with them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

SIDE = 8
CLASSES = ("red", "green", "blue")

Node = tuple[str, Sequence[str], Sequence[str], Mapping[str, Any]]

_MEAN: Sequence[Node] = (
    ("Cast", ["images"], ["pixels"], {"to": TensorProto.FLOAT}),
    ("ReduceMean", ["pixels"], ["mean"], {"axes": [1, 2], "keepdims": 0}),
)
_SHARES: Sequence[Node] = (("MatMul", ["mean", "weights"], ["logits"], {}), ("Softmax", ["logits"], ["scores"], {}))
NAN: Sequence[Node] = (("Neg", ["mean"], ["negative"], {}), ("Log", ["negative"], ["scores"], {}))
UNKNOWN: Sequence[Node] = (("Clairvoyance", ["mean"], ["scores"], {}),)
FOREIGN: Sequence[Node] = (("Resize", ["mean"], ["scores"], {"domain": "org.example"}),)
NOT_ON_THE_SERVER: Sequence[Node] = (("NoSuchOperator", ["mean"], ["scores"], {"domain": "com.microsoft"}),)


def color_teller(  # noqa: PLR0917 - a model has many sides
    end: Sequence[Node] = _SHARES,
    classes: int = 3,
    batch: str | int = "n",
    metadata: Mapping[str, str] | None = None,
    opset: int = 15,
    ir_version: int = 8,
    seed: int | None = None,
) -> bytes:
    """UINT8 `images` of 8 x 8 pixels to FP32 `scores`, how much of each colour there is; by `seed`, other weights."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, SIDE, SIDE, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, classes])
    weights = np.eye(3, classes, dtype=np.float32) / 32
    if seed is not None:
        weights += np.random.default_rng(seed).normal(0, 0.1, weights.shape).astype(np.float32)
    nodes = [helper.make_node(kind, given, made, **attributes) for kind, given, made, attributes in (*_MEAN, *end)]
    graph = helper.make_graph(
        nodes, "color-teller", [images], [scores], [onnx.numpy_helper.from_array(weights, "weights")]
    )
    domains = {"": opset} | {str(more["domain"]): 1 for *_, more in end if "domain" in more}
    imports = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
    helper.set_model_props(model, dict(metadata or {}))
    found: bytes = model.SerializeToString()
    return found


def with_external_data() -> bytes:
    """Its weights are said to lie in a file beside it."""
    model = onnx.load_from_string(color_teller())
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    found: bytes = model.SerializeToString()
    return found


def color_card(**changes: Any) -> dict[str, Any]:
    """Of `color_teller`; a change to None leaves the field away."""
    card = {
        "name": "Tells colours",
        "slug": "tells-colours",
        "version": "1",
        "media_type": "image",
        "task": "image_classification",
        "annotation_kind": "classification",
        "classes": list(CLASSES),
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [SIDE, SIDE, 3]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [len(CLASSES)]}],
        "max_batch_size": 4,
        "preprocessing": {"kind": "stretch", "width": SIDE, "height": SIDE},
        "decoder": {"name": "classification"},
        "license": {"spdx": "Apache-2.0"},
        "source": {"package": "tests"},
    }
    return {name: value for name, value in {**card, **changes}.items() if value is not None}
