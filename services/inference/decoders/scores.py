"""Scores as a model gives them, and as confidences from 0 to 1."""

from typing import Literal, TypeAlias

import numpy as np

from services.inference.tensors import Array, BadModelOutput

Activation: TypeAlias = Literal["none", "softmax", "sigmoid"]
ACTIVATION = (
    "`softmax` over the classes for logits of which one is right, `sigmoid` for logits that stand each for itself, "
    "`none` where the model gives confidences from 0 to 1"
)
_ROUNDING = 1e-3


def activated(scores: Array, activation: Activation) -> Array:
    """Confidences, the classes on the last axis. Raises BadModelOutput for scores that are none."""
    if activation == "softmax":
        return softmax(scores)
    if activation == "sigmoid":
        return sigmoid(scores)
    return confidences(scores)


def confidences(scores: Array) -> Array:
    """The scores themselves, once a little rounding is cut. Raises BadModelOutput when one lies outside 0 to 1."""
    if scores.size and not (scores.min() >= -_ROUNDING and scores.max() <= 1 + _ROUNDING):
        raise BadModelOutput("a score lies outside 0 to 1")
    return np.clip(scores, 0.0, 1.0)


def softmax(logits: Array) -> Array:
    """Over the last axis."""
    if not logits.size:
        return logits.astype(np.float32)
    powers = np.exp(logits.astype(np.float32) - logits.max(axis=-1, keepdims=True))
    shares: Array = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: Array) -> Array:
    # By tanh: the exponential of a large logit would overflow.
    halves: Array = 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float32)))
    return halves
