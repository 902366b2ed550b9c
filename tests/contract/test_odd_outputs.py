"""Outputs that are finite and still make no sense: what comes of them is right in form, or an error of the batch."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.inference.decoders import decode_batch
from services.inference.tensors import BadModelOutput
from shared.annotations import ANNOTATION
from tests.contract.test_decoders import within
from tests.support.decoder_samples import SAMPLES, Outputs

_ODD = (0.0, -0.0, -1.0, 1.0, 1e-30, 1e4, -1e4, 1e18, -1e18, 3e38, -3e38)


def odd(outputs: Outputs, seed: int) -> Outputs:
    """Some values of each output replaced, a few or nearly all."""
    random = np.random.default_rng(seed)
    return {name: _odd(random, array) for name, array in outputs.items()}


def _odd(random: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype == object:
        return array
    changed = random.random(array.shape) < random.choice([0.0, 0.02, 0.3, 0.95])
    values = random.choice(_ODD, array.shape)
    if array.dtype == bool:
        return np.where(changed, values > 0, array)
    most: Any = np.iinfo(array.dtype) if np.issubdtype(array.dtype, np.integer) else np.finfo(array.dtype)
    return np.where(changed, np.clip(values, float(most.min) / 2, float(most.max) / 2), array).astype(array.dtype)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=40)
@given(rows=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_odd_outputs_give_sound_detections_or_an_error(name: str, rows: int, seed: int) -> None:
    sample = SAMPLES[name]
    outputs = odd(sample.outputs(np.random.default_rng(seed), rows), seed)
    with np.errstate(all="ignore"):
        try:
            found = decode_batch(sample.model, outputs, [sample.placement] * rows)
        except BadModelOutput:
            return
    assert len(found) == rows
    for row in found:
        assert len(row) <= sample.model.card.max_detections
        for one in row:
            assert sample.model.card.floor <= one.confidence <= 1
            assert one.model_class in sample.model.classes
            # As it is stored, with no NaN, infinity or side below zero.
            assert ANNOTATION.validate_json(one.annotation.model_dump_json()) == one.annotation
            area = one.annotation.area()
            assert area is None or (np.isfinite(area) and area >= 0)
            assert within(one.annotation, sample.placement.canvas)
            assert all(np.isfinite(value) for value in one.attributes.values() if isinstance(value, float))
