"""Decoders by the name a model card uses. To add one: write its file, name it here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np

from services.inference.decoders import (
    boxes,
    classification,
    detr,
    embeddings,
    entities,
    instance_masks,
    keypoints,
    label_studio,
    semantic_mask,
    text_boxes,
    token_classification,
    yolo,
)
from services.inference.decoders.base import Decoder, Found, Outputs
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.model_card import ModelCard

DECODERS: Mapping[str, Decoder] = {
    "boxes": boxes.DECODER,
    "classification": classification.DECODER,
    "detr": detr.DECODER,
    "embeddings": embeddings.DECODER,
    "entities": entities.DECODER,
    "instance_masks": instance_masks.DECODER,
    "keypoints": keypoints.DECODER,
    "label_studio": label_studio.DECODER,
    "semantic_mask": semantic_mask.DECODER,
    "text_boxes": text_boxes.DECODER,
    "token_classification": token_classification.DECODER,
    "yolo": yolo.DECODER,
}

Result = TypeVar("Result")


def decode_batch(model: ServedModel, outputs: Outputs, placements: Sequence[Placement]) -> list[list[Found]]:
    """One list a row, in order. Raises BadModelOutput when the outputs are not what the card says."""
    for name, output in outputs.items():
        _check(name, output, len(placements))
    decoder = DECODERS[model.card.decoder.name]
    parameters = decoder.parameters.model_validate(model.card.decoder.parameters)
    found = _foreign(model.card, lambda: decoder.decode(model, parameters, outputs, placements))
    if len(found) != len(placements):
        raise BadModelOutput(f"{len(found)} results for {len(placements)} rows")
    return [_noting(row, placement) for row, placement in zip(found, placements, strict=True)]


def embed_batch(card: ModelCard, outputs: Outputs, rows: int) -> Array:
    """For an open-ended model: one vector of unit length a row, FP32. Raises BadModelOutput."""
    for name, output in outputs.items():
        _check(name, output, rows)
    decoder = DECODERS[card.decoder.name]
    embed = decoder.embed
    if embed is None:
        raise BadModelOutput(f"the decoder {card.decoder.name!r} takes no criteria")
    parameters = decoder.parameters.model_validate(card.decoder.parameters)
    vectors = _foreign(card, lambda: embed(parameters, outputs).astype(np.float32))
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if vectors.ndim != 2 or len(vectors) != rows or not lengths.all():  # noqa: PLR2004 - rows and numbers
        raise BadModelOutput(f"no vector a row: shape {list(vectors.shape)} for {rows} rows")
    unit: Array = vectors / lengths
    return unit


def _foreign(card: ModelCard, read: Callable[[], Result]) -> Result:
    try:
        return read()
    except (ValueError, LookupError, TypeError, ArithmeticError, cv2.error) as error:
        # The outputs are foreign: what a decoder cannot take fails these rows, never the worker.
        raise BadModelOutput(f"the decoder {card.decoder.name!r} cannot read the outputs: {error}") from error


def _noting(row: list[Found], placement: Placement) -> list[Found]:
    """What is said of a text that was cut says so."""
    if placement.read_to is None:
        return row
    return [replace(found, attributes={**found.attributes, "read_to": float(placement.read_to)}) for found in row]


def _check(name: str, output: Array, rows: int) -> None:
    """What every decoder may rely on, wherever the outputs come from."""
    if output.ndim == 0 or len(output) != rows:
        raise BadModelOutput(f"output {name!r} has shape {list(output.shape)} for {rows} rows")
    if np.issubdtype(output.dtype, np.floating) and not np.isfinite(output).all():
        raise BadModelOutput(f"output {name!r} holds NaN or infinity")
