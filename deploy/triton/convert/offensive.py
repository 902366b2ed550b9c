"""alt-profanity-check: the known words of a text in, the probability that it is offensive out.

The package splits a text into words, weighs how often each of its 15,442 occurs (TF-IDF, unit length) and asks five
linear machines, each with its own curve to a probability; the answer is their mean. Here the splitting is a word-level
`tokenizer.json` and the rest the graph, so no text has to reach the server.

Source: `model.joblib` of the package alt-profanity-check, with `vectorizer.joblib` beside it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from deploy.triton.convert.graph import Array, Graph, Value
from deploy.triton.convert.joblib_pickle import Attributes, read_attributes

_UNKNOWN = "[UNK]"
_UNKNOWN_ID = 0
# Where the words of the package's own vocabulary start.
_FIRST_ID = 1
# Adding up in ScatterElements came with operator set 16; Triton 2.51 reads up to 21.
_OPSET = 16


def convert(source: Path) -> Graph:
    machines = read_attributes(source)["calibrated_classifiers_"]
    words = _vectorizer(source)
    graph = Graph(
        inputs=[Value(name, TensorProto.INT64, ["N", "T"]) for name in ("input_ids", "attention_mask")],
        outputs=[Value("probabilities", TensorProto.FLOAT, ["N", 2])],
        opset=_OPSET,
    )
    vector = _unit_length(graph, graph.emit("Mul", [_counts(graph, len(words["vocabulary_"])), _weights(graph, words)]))
    offensive = _probability(graph, vector, machines)
    graph.emit("Concat", [offensive, graph.emit("Sub", [graph.floats(1), offensive])], out="probabilities", axis=1)
    return graph


def tokenizer(source: Path) -> str:
    """Runs of two or more letters, digits and underscores, in lower case, as scikit-learn's `\\b\\w\\w+\\b`."""
    words = _vectorizer(source)
    if (words["token_pattern"], words["lowercase"], words["ngram_range"]) != (r"(?u)\b\w\w+\b", True, (1, 1)):
        raise ValueError("the package splits texts in another way than this tokenizer")
    vocabulary = {word: int(index) + _FIRST_ID for word, index in words["vocabulary_"].items()}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"Regex": r"[\p{L}\p{N}_]{2,}"},
                "behavior": "Removed",
                "invert": True,
            },
            "post_processor": None,
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": {_UNKNOWN: _UNKNOWN_ID, **vocabulary}, "unk_token": _UNKNOWN},
        },
        ensure_ascii=False,
    )


def _vectorizer(source: Path) -> Attributes:
    return read_attributes(source.parent / "vectorizer.joblib")


def _counts(graph: Graph, words: int) -> str:
    rows = graph.emit(
        "Slice", [graph.emit("Shape", ["input_ids"]), graph.constant(np.array([0])), graph.constant(np.array([1]))]
    )
    shape = graph.emit("Concat", [rows, graph.constant(np.array([words + _FIRST_ID]))], axis=0)
    zeros = graph.emit("Expand", [graph.floats([0]), shape])
    there = graph.emit("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    return graph.emit("ScatterElements", [zeros, "input_ids", there], axis=1, reduction="add")


def _weights(graph: Graph, words: dict[str, Any]) -> str:
    # A word that the package does not know weighs nothing.
    return graph.floats(np.concatenate([[0], words["_tfidf"]["idf_"]]))


def _unit_length(graph: Graph, vector: str) -> str:
    # A text without a known word stays zero.
    length = graph.emit("Max", [graph.emit("ReduceL2", [vector], axes=[1], keepdims=1), graph.floats(1e-9)])
    return graph.emit("Div", [vector, length])


def _probability(graph: Graph, vector: str, machines: list[dict[str, Any]]) -> str:
    coefficients = np.concatenate([_of_machine(machine)[0] for machine in machines])
    padded = np.concatenate([np.zeros((len(machines), _FIRST_ID)), coefficients], axis=1)
    intercepts = np.concatenate([_of_machine(machine)[1] for machine in machines])
    slopes, offsets = (np.array([machine["calibrators"][0][name] for machine in machines]) for name in ("a_", "b_"))
    margins = graph.emit("Add", [graph.emit("MatMul", [vector, graph.floats(padded.T)]), graph.floats(intercepts)])
    # Platt's curve: 1 / (1 + exp(a * margin + b)).
    curve = graph.emit("Add", [graph.emit("Mul", [margins, graph.floats(-slopes)]), graph.floats(-offsets)])
    return graph.emit("ReduceMean", [graph.emit("Sigmoid", [curve])], axes=[1], keepdims=1)


def _of_machine(machine: dict[str, Any]) -> tuple[Array, Array]:
    estimator = machine["estimator"]
    return estimator["coef_"], estimator["intercept_"]
