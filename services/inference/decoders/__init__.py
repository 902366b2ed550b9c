"""Decoders by the name a model card uses. To add one: write its file, name it here."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from services.inference.decoders import boxes, class_probabilities
from services.inference.decoders.base import Decoder, Found, Outputs
from services.inference.inputs.placement import Placement
from services.inference.triton import Array, BadModelOutput
from shared.model_card import ModelCard

DECODERS: Mapping[str, Decoder] = {
    "boxes": boxes.DECODER,
    "class_probabilities": class_probabilities.DECODER,
}


def decode_batch(card: ModelCard, outputs: Outputs, placements: Sequence[Placement]) -> list[list[Found]]:
    """One list a row, in order. Raises BadModelOutput when the outputs are not what the card says."""
    for name, output in outputs.items():
        _check(name, output, len(placements))
    decoder = DECODERS[card.decoder.name]
    parameters = decoder.parameters.model_validate(card.decoder.parameters)
    try:
        found = decoder.decode(card, parameters, outputs, placements)
    except (ValueError, LookupError, TypeError, ArithmeticError, cv2.error) as error:
        # The outputs are foreign: what a decoder cannot take fails these rows, never the worker.
        raise BadModelOutput(f"the decoder {card.decoder.name!r} cannot read the outputs: {error}") from error
    if len(found) != len(placements):
        raise BadModelOutput(f"{len(found)} results for {len(placements)} rows")
    return found


def _check(name: str, output: Array, rows: int) -> None:
    """What every decoder may rely on, wherever the outputs come from."""
    if output.ndim == 0 or len(output) != rows:
        raise BadModelOutput(f"output {name!r} has shape {list(output.shape)} for {rows} rows")
    if np.issubdtype(output.dtype, np.floating) and not np.isfinite(output).all():
        raise BadModelOutput(f"output {name!r} holds NaN or infinity")
