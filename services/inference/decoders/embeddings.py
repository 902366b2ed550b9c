"""How well each criterion fits a data row: the cosine of the angle between their embeddings, as a confidence."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.decoders.classification import surest_classes
from services.inference.decoders.scores import sigmoid, softmax
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput


class EmbeddingParameters(Parameters):
    """The cosine is no confidence by itself: `scale` and `offset` are measured on labeled data of the model's kind."""

    embedding: str = Field("embedding", description="the output: one vector a row, of any length but zero")
    mode: Literal["independent", "contrast", "exclusive"] = Field(
        "independent",
        description="`independent`: sigmoid(scale x (cosine - offset)), each criterion for itself; "
        "`contrast`: sigmoid(scale x (cosine - mean cosine of the other criteria - offset)), any number may hold and "
        "what a text has in common with all of them counts for none; "
        "`exclusive`: softmax(scale x cosine) over the criteria, one of them holds",
    )
    scale: float = Field(10.0, gt=0, le=1000, allow_inf_nan=False, description="how steep the curve is")
    offset: float = Field(0.25, ge=-2, le=2, description="where a criterion is as likely to hold as not")


def embed(parameters: EmbeddingParameters, outputs: Outputs) -> Array:
    return outputs[parameters.embedding]


def decode(
    model: ServedModel, parameters: EmbeddingParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    # In double precision, so that what a row gets does not depend on how many are multiplied at once.
    vectors, criteria = outputs[parameters.embedding].astype(np.float64), model.vocabulary.embeddings
    if criteria is None or vectors.shape != (len(placements), criteria.shape[1]):
        raise BadModelOutput(f"the embeddings have shape {list(vectors.shape)}, which fits no criteria")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        raise BadModelOutput("an embedding of length zero has no direction")
    confidences = _confidences(parameters, vectors / lengths @ criteria.T)
    return surest_classes(model, confidences)


def _confidences(parameters: EmbeddingParameters, cosines: Array) -> Array:
    if parameters.mode == "exclusive":
        return softmax(parameters.scale * cosines)
    if parameters.mode == "contrast":
        cosines = cosines - _of_others(cosines)
    return sigmoid(parameters.scale * (cosines - parameters.offset))


def _of_others(cosines: Array) -> Array:
    """The mean of each row's other criteria; a criterion that is alone is compared with nothing."""
    others = max(1, cosines.shape[1] - 1)
    mean: Array = (cosines.sum(axis=1, keepdims=True) - cosines) / others
    return mean


DECODER = Decoder(version=1, parameters=EmbeddingParameters, decode=decode, embed=embed)
