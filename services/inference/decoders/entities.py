"""Stretches of a text: class numbers, spans in code points and scores; unused places hold class -1."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.decoders.scores import confidences
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.annotations import TextEntity


class EntityParameters(Parameters):
    classes: str = Field("classes", description="the output: a class number for each of N places, -1 for none")
    spans: str = Field("spans", description="the output: N x 2, start and end in code points, half-open")
    scores: str = Field("scores", description="the output: a confidence from 0 to 1 for each of N places")


def decode(
    model: ServedModel, parameters: EntityParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    classes, spans, scores = outputs[parameters.classes], outputs[parameters.spans], outputs[parameters.scores]
    places = classes.shape[:2]
    if (classes.ndim, spans.shape, scores.shape) != (2, (*places, 2), places):
        shapes = f"{list(classes.shape)}, {list(spans.shape)} and {list(scores.shape)}"
        raise BadModelOutput(f"classes, spans and scores have the shapes {shapes}")
    return [
        _row(model, (classes[index], spans[index], scores[index]), placement)
        for index, placement in enumerate(placements)
    ]


def _row(model: ServedModel, raw: tuple[Array, Array, Array], placement: Placement) -> list[Found]:
    used = raw[0] >= 0
    classes, spans, scores = raw[0][used], raw[1][used], confidences(raw[2][used])
    if classes.size and classes.max() >= len(model.classes):
        raise BadModelOutput(f"a class number lies outside the card's {len(model.classes)} classes")
    starts, ends = spans[:, 0], spans[:, 1]
    if classes.size and not (starts.min() >= 0 and (starts < ends).all() and ends.max() <= placement.canvas.length):
        raise BadModelOutput(f"a span lies outside the text's {placement.canvas.length} code points, or is empty")
    surest = [index for index in np.argsort(-scores, kind="stable") if scores[index] >= model.card.floor]
    return [
        Found(
            model.classes[int(classes[index])],
            float(scores[index]),
            TextEntity(start=int(starts[index]), end=int(ends[index])),
        )
        for index in surest[: model.card.max_detections]
    ]


DECODER = Decoder(version=1, parameters=EntityParameters, decode=decode)
