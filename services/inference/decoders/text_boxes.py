"""Lines of text that were found and read: an upright box around each, its words as the attribute `text`."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.annotations import BoundingBox

_ROUNDING = 1e-3
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = 0xD800, 0xDFFF


class TextBoxParameters(Parameters):
    """A place without a text is not used."""

    quads: str = Field("quads", description="the output of corners, N x 4 x 2, in pixels of the model's input")
    scores: str = Field("scores", description="the output of scores, N, 0 to 1")
    texts: str = Field(
        "texts", description="the output of texts, N x length: Unicode code points, negative ones where it has ended"
    )


def decode(
    model: ServedModel, parameters: TextBoxParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    quads, scores, texts = outputs[parameters.quads], outputs[parameters.scores], outputs[parameters.texts]
    if quads.shape != (*scores.shape, 4, 2) or texts.shape[:-1] != scores.shape or texts.dtype.kind not in "iu":
        raise BadModelOutput(
            f"quads {quads.shape}, scores {scores.shape} and texts {texts.shape} do not belong together"
        )
    return [
        _row(model, (quads[index], scores[index], texts[index]), placement)
        for index, placement in enumerate(placements)
    ]


def _row(model: ServedModel, raw: tuple[Array, Array, Array], placement: Placement) -> list[Found]:
    quads, scores, texts = raw
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1 + _ROUNDING):
        raise BadModelOutput("a score lies outside 0 to 1")
    found = []
    for index in np.argsort(-scores, kind="stable"):
        text = _text(texts[index])
        box = _box(quads[index], placement) if text and scores[index] >= model.card.floor else None
        if box is not None:
            confidence = min(1.0, float(scores[index]))
            found.append(Found(model.classes[0], confidence, box, {"text": text}))
    return found[: model.card.max_detections]


def _text(points: Array) -> str:
    used = points[points >= 0]
    low, high = _SURROGATES
    if ((used == 0) | (used > _LAST_CODE_POINT) | ((used >= low) & (used <= high))).any():
        raise BadModelOutput("a text holds what is no Unicode character")
    return "".join(map(chr, used.tolist())).strip()


def _box(quad: Array, placement: Placement) -> BoundingBox | None:
    corners = np.array([placement.to_image(float(x), float(y)) for x, y in quad])
    left, top = np.maximum(corners.min(axis=0), 0.0).round(2).tolist()
    right, bottom = np.minimum(corners.max(axis=0), [placement.canvas.width, placement.canvas.height]).round(2).tolist()
    if right <= left or bottom <= top:
        return None
    return BoundingBox(left=left, top=top, width=round(right - left, 2), height=round(bottom - top, 2))


DECODER = Decoder(version=1, parameters=TextBoxParameters, decode=decode)
