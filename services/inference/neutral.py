"""An input that says nothing: a grey picture, a short sentence. What a model answers shows that it can be used."""

from uuid import UUID

import cv2
import numpy as np

from services.inference.failures import ModelUnusable
from services.inference.inputs import BatchPreparation, PreparedBatch
from services.inference.inputs.content import Content
from services.inference.served_model import ServedModel

_GREY, _WIDTH, _HEIGHT = 127, 64, 48
_SENTENCE = b"This is a short sentence."


def neutral_batch(model: ServedModel, rows: int) -> PreparedBatch:
    """So many rows of it, prepared as any data row is. Raises ModelUnusable."""
    body = _picture() if model.card.media_type == "image" else _SENTENCE
    preparation = BatchPreparation(model, rows)
    preparation.add([Content(UUID(int=row), body, b"", first_read=False) for row in range(rows)])
    for _, error in preparation.failed:
        raise ModelUnusable(f"the preprocessing cannot make the model's input: {error.detail}")
    (batch,) = preparation.batches()
    return batch


def _picture() -> bytes:
    _, encoded = cv2.imencode(".png", np.full((_HEIGHT, _WIDTH, 3), _GREY, np.uint8))
    return bytes(encoded)
