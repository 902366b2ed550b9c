"""How a graph becomes a file."""

import tempfile
from pathlib import Path

import onnx
import onnxruntime as ort

from deploy.triton.convert.graph import IR_VERSION, Graph


def save(graph: Graph, path: Path) -> None:
    """Check the graph, fold what is constant, and write it."""
    onnx.save(_simplified(graph.model()), path)


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
