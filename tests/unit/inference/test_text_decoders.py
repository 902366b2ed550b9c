"""Decoders of what is found in texts: what each of their parameters means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from services.inference.decoders import decode_batch
from shared.annotations import TextEntity
from tests.support.decoder_samples import CRITERIA, SAMPLES, served


def test_unused_places_are_no_entities() -> None:
    sample = SAMPLES["entities"]
    outputs = {
        "classes": np.array([[-1, 2, 0]], np.int32),
        "spans": np.array([[[-1, -1], [3, 9], [0, 61]]], np.int32),
        "scores": np.array([[-1, 0.5, 0.75]], np.float32),
    }
    (found,) = decode_batch(sample.model, outputs, [sample.placement])
    assert [(one.model_class, one.confidence, one.annotation) for one in found] == [
        ("cat", 0.75, TextEntity(start=0, end=61)),
        ("person", 0.5, TextEntity(start=3, end=9)),
    ]


def fitted(vector: Sequence[float], mode: str = "independent", **parameters: Any) -> dict[str, float]:
    """The confidence of each criterion; the first is cat, the second dog."""
    sample = SAMPLES["embeddings, independent"]
    choice = sample.model.card.decoder.model_copy(update={"parameters": {"mode": mode, **parameters}})
    model = served(sample.model.card.model_copy(update={"decoder": choice}), CRITERIA)
    (found,) = decode_batch(model, {"embedding": np.array([vector], np.float32)}, [sample.placement])
    return {one.model_class: one.confidence for one in found}


def curve(value: float) -> Any:
    return pytest.approx(1 / (1 + np.exp(-value)), abs=1e-6)


def test_criteria_stand_each_for_itself() -> None:
    found = fitted([3, 4, 0, 0], scale=10, offset=0.5)
    assert found == {"dog": curve(10 * (0.8 - 0.5)), "cat": curve(10 * (0.6 - 0.5))}


def test_criteria_are_weighed_against_one_another() -> None:
    found = fitted([3, 4, 0, 0], "contrast", scale=10, offset=0.1)
    assert found == {"dog": curve(10 * (0.8 - 0.3 - 0.1)), "cat": curve(10 * (0.6 - 0.4 - 0.1))}


def test_one_of_the_criteria_holds() -> None:
    found = fitted([3, 4, 0, 0], "exclusive", scale=2)
    assert found["dog"] / found["cat"] == pytest.approx(np.exp(2 * (0.8 - 0.6)), rel=1e-5)


def test_the_length_of_an_embedding_says_nothing() -> None:
    assert fitted([30, 40, 0, 0]) == pytest.approx(fitted([0.3, 0.4, 0, 0]))
