"""One probability a class for the whole data row; the surest `top_k` are kept."""

from collections.abc import Sequence

import numpy as np

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.inputs.placement import Placement
from services.inference.triton import Array, BadModelOutput
from shared.annotations import Classification
from shared.model_card import ModelCard

_WHOLE = Classification()
_ROUNDING = 1e-3


class ClassParameters(Parameters):
    """`probabilities`: the output, one value from 0 to 1 for each class of the card."""

    probabilities: str = "probabilities"


def decode(
    card: ModelCard, parameters: ClassParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    rows = outputs[parameters.probabilities]
    if rows.shape != (len(placements), len(card.classes)):
        raise BadModelOutput(f"expected {len(card.classes)} probabilities a row, got shape {list(rows.shape)}")
    if rows.size and not (rows.min() >= -_ROUNDING and rows.max() <= 1 + _ROUNDING):
        raise BadModelOutput("a probability lies outside 0 to 1")
    return [_row(card, row) for row in rows]


def _row(card: ModelCard, row: Array) -> list[Found]:
    surest = np.argsort(-row, kind="stable")[: card.top_k]
    return [
        Found(card.classes[int(index)], min(1.0, max(0.0, float(row[index]))), _WHOLE)
        for index in surest
        if row[index] >= card.floor
    ]


DECODER = Decoder(version=1, parameters=ClassParameters, decode=decode)
