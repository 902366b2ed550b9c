"""Every decoder keeps its contract from the day it is named.

What a decoder is shown stands in `tests.support.decoder_samples`; one without a sample fails the first test.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.decoders import DECODERS, decode_batch, embed_batch
from services.inference.decoders.base import Found
from services.inference.served_model import ServedModel
from services.inference.tensors import BadModelOutput
from shared.annotations import ANNOTATION, BoundingBox, Keypoints, Mask, TextEntity
from shared.annotations.base import Canvas
from shared.model_card import OPEN_ENDED_DECODERS
from tests.support.decoder_samples import SAMPLES, Outputs, broken_for_all

NAMES = pytest.mark.parametrize("name", SAMPLES)


def decoded(name: str, outputs: Outputs, rows: int, **changes: Any) -> list[list[Found]]:
    sample = SAMPLES[name]
    model = ServedModel(sample.model.card.model_copy(update=changes), sample.model.vocabulary)
    return decode_batch(model, outputs, [sample.placement] * rows)


def outputs_of(name: str, rows: int, seed: int = 0) -> Outputs:
    return SAMPLES[name].outputs(np.random.default_rng(seed), rows)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_has_a_sample(decoder: str) -> None:
    assert decoder in {sample.model.card.decoder.name for sample in SAMPLES.values()}, "add a Sample to look at it"
    assert DECODERS[decoder].version >= 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_are_open_ended_as_the_card_says(decoder: str) -> None:
    assert (DECODERS[decoder].embed is not None) == (decoder in OPEN_ENDED_DECODERS)


@pytest.mark.parametrize("decoder", DECODERS)
def test_unknown_parameters_are_an_error_of_the_card(decoder: str) -> None:
    parameters = DECODERS[decoder].parameters
    assert parameters.model_validate({}) == parameters()
    with pytest.raises(ValueError, match="surprise"):
        parameters.model_validate({"surprise": 1})


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_parameter_says_what_it_is(decoder: str) -> None:
    fields = DECODERS[decoder].parameters.model_fields
    assert [name for name, field in fields.items() if not field.description and name != "kind"] == []


@NAMES
@settings(max_examples=25)
@given(rows=st.integers(1, 16), seed=st.integers(0, 2**32 - 1))
def test_what_is_found_keeps_the_contract(name: str, rows: int, seed: int) -> None:
    model, canvas = SAMPLES[name].model, SAMPLES[name].placement.canvas
    found = decoded(name, outputs_of(name, rows, seed), rows)
    assert len(found) == rows, "one list a row"
    for row in found:
        confidences = [one.confidence for one in row]
        assert confidences == sorted(confidences, reverse=True), "surest first"
        assert all(model.card.floor <= confidence <= 1 for confidence in confidences)
        assert len(row) <= model.card.max_detections
        for one in row:
            assert type(one.confidence) is float
            assert one.model_class in model.classes
            assert set(one.attributes) <= set(model.card.attributes)
            assert one.annotation.kind == model.card.annotation_kind
            assert ANNOTATION.validate_json(one.annotation.model_dump_json()) == one.annotation
            assert within(one.annotation, canvas)


def within(annotation: Any, canvas: Canvas) -> bool:
    """Whether it lies on the data row."""
    if isinstance(annotation, BoundingBox):
        right, bottom = annotation.left + annotation.width, annotation.top + annotation.height
        inside = right <= canvas.width + 1e-9 and bottom <= canvas.height + 1e-9
        return inside and annotation.left >= 0 and annotation.top >= 0
    if isinstance(annotation, Keypoints):
        return all(0 <= point.x <= canvas.width and 0 <= point.y <= canvas.height for point in annotation.points)
    if isinstance(annotation, Mask):
        return annotation.size == (canvas.height, canvas.width) and annotation.area() > 0
    if isinstance(annotation, TextEntity):
        return annotation.end <= canvas.length
    return True


@NAMES
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_nothing_found_is_an_empty_list(name: str, rows: int) -> None:
    assert decoded(name, SAMPLES[name].empty(rows), rows) == [[] for _ in range(rows)]


@NAMES
def test_rows_do_not_mix(name: str) -> None:
    outputs = outputs_of(name, 6)
    together = decoded(name, outputs, 6)
    alone = [decoded(name, {n: array[row : row + 1] for n, array in outputs.items()}, 1)[0] for row in range(6)]
    assert together == alone
    assert len({str(row) for row in together}) > 1, "the sample's rows differ"


@NAMES
def test_the_floor_is_the_lowest_confidence(name: str) -> None:
    outputs = outputs_of(name, 4)
    some = decoded(name, outputs, 4)
    assert any(some)
    confidences = sorted(one.confidence for row in some for one in row)
    for floor in (confidences[0], confidences[len(confidences) // 2], confidences[-1]):
        expected = [[one for one in row if one.confidence >= floor] for row in some]
        assert decoded(name, outputs, 4, floor=floor) == expected, "at the floor is kept"


@NAMES
def test_the_surest_are_kept(name: str) -> None:
    outputs = outputs_of(name, 4)
    some = decoded(name, outputs, 4)
    assert decoded(name, outputs, 4, max_detections=1, top_k=1) == [row[:1] for row in some]


@NAMES
@pytest.mark.parametrize("rows", [1, 3])
def test_foreign_outputs_are_bad_model_outputs(name: str, rows: int) -> None:
    outputs = outputs_of(name, rows)
    broken = {what: change(outputs) for what, change in SAMPLES[name].broken.items()}
    for what, changed in (broken_for_all(outputs) | broken).items():
        try:
            decoded(name, changed, rows)
        except BadModelOutput:
            continue
        pytest.fail(f"{what} was taken")


def test_a_decoder_without_criteria_embeds_none() -> None:
    with pytest.raises(BadModelOutput, match="criteria"):
        embed_batch(SAMPLES["classification"].model.card, outputs_of("classification", 2), 2)
