"""Texts that were read, as boxes with their words."""

import numpy as np

from services.inference.decoders import decode_batch
from services.inference.decoders.base import Found
from shared.annotations import BoundingBox
from tests.support.decoder_samples import PLACEMENT, SAMPLES


def read(*lines: tuple[str, float]) -> list[Found]:
    """What is found of these texts and scores, all at one place."""
    length = max(len(text) for text, _ in lines) + 2
    corners = [[10, 20], [40, 22], [39, 32], [9, 30]]
    outputs = {
        "quads": np.array([[corners] * len(lines)], np.float32),
        "scores": np.array([[score for _, score in lines]], np.float32),
        "texts": np.array([[[*map(ord, text), *[-1] * (length - len(text))] for text, _ in lines]], np.int32),
    }
    return decode_batch(SAMPLES["text boxes"].model, outputs, [PLACEMENT])[0]


def test_a_text_comes_with_its_words_and_a_box_around_it() -> None:
    (found,) = read(("Grüße \U0001f600", 0.9))
    assert found.attributes == {"text": "Grüße \U0001f600"}
    assert found.annotation == BoundingBox(left=14, top=16, width=62, height=24)


def test_texts_come_surest_first_and_none_is_empty() -> None:
    found = read(("second", 0.6), ("  ", 0.95), ("first", 0.9), ("", 0.99))
    assert [one.attributes["text"] for one in found] == ["first", "second"]
