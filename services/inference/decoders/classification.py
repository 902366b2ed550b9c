"""One score a class for the whole data row; the surest `top_k` are kept."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.decoders.scores import ACTIVATION, Activation, activated
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.annotations import Classification

_WHOLE = Classification()


class ClassificationParameters(Parameters):
    scores: str = Field("scores", description="the output: one score for each class of the card")
    activation: Activation = Field("none", description=ACTIVATION)


def decode(
    model: ServedModel, parameters: ClassificationParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    rows = outputs[parameters.scores]
    if rows.shape != (len(placements), len(model.classes)):
        raise BadModelOutput(f"expected {len(model.classes)} scores a row, got shape {list(rows.shape)}")
    return surest_classes(model, activated(rows, parameters.activation))


def surest_classes(model: ServedModel, rows: Array) -> list[list[Found]]:
    """`rows` hold a confidence for each class."""
    surest = np.argsort(-rows, axis=-1, kind="stable")[:, : model.card.top_k]
    confidences = np.take_along_axis(rows, surest, axis=-1)
    enough = confidences >= model.card.floor
    return [
        [
            Found(model.classes[place], confidence, _WHOLE)
            for place, confidence, is_enough in zip(*row, strict=True)
            if is_enough
        ]
        for row in zip(surest.tolist(), confidences.astype(float).tolist(), enough.tolist(), strict=True)
    ]


DECODER = Decoder(version=1, parameters=ClassificationParameters, decode=decode)
