"""Every decoder keeps its contract from the day it is named.

A decoder of another shape of outputs is a new `Sample` here; without one the first test fails.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.inference.decoders import DECODERS, decode_batch
from services.inference.decoders.base import Found
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.triton import BadModelOutput
from shared.annotations import ANNOTATION, BoundingBox, Canvas
from shared.model_card import ModelCard

Outputs = dict[str, NDArray[Any]]
CLASSES = ("cat", "dog", "person")
CANVAS = Canvas(width=120, height=80)
PLACEMENT = Placement(CANVAS, 0.5, 0.5, 2.0, 12.0)  # 120 x 80 in the middle of 64 x 64

_CARD: dict[str, Any] = {
    "name": "Sample",
    "slug": "sample",
    "version": "1",
    "media_type": "image",
    "task": "object_detection",
    "classes": CLASSES,
    "inputs": [{"name": "images", "datatype": "UINT8", "shape": [64, 64, 3]}],
    "max_batch_size": 16,
    "preprocessing": {"kind": "letterbox", "width": 64, "height": 64},
    "floor": 0.05,
    "max_detections": 7,
    "top_k": 2,
    "license": {"spdx": "Apache-2.0"},
    "source": {"package": "tests"},
}


@dataclass(frozen=True)
class Sample:
    """What a decoder is shown: outputs as a model may give them, empty ones, and some that no model may give."""

    card: ModelCard
    outputs: Callable[[np.random.Generator, int], Outputs]
    empty: Callable[[int], Outputs]
    broken: Mapping[str, Callable[[Outputs], Outputs]]


def _changed(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Outputs], Outputs]:
    return lambda outputs: {**outputs, name: change(outputs[name])}


def _filled(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda array: np.full_like(array, value)


def _one_less(array: NDArray[Any]) -> NDArray[Any]:
    return array[:-1]


def _boxes(random: np.random.Generator, rows: int) -> Outputs:
    corners = random.uniform(-20, 84, (rows, 20, 4)).astype(np.float32)
    corners[..., 2:] = corners[..., :2] + np.abs(corners[..., 2:] - corners[..., :2]) * random.choice(
        [0, 0.1, 1], (rows, 20, 1)
    ).astype(np.float32)
    return {
        "boxes": corners,
        "scores": random.uniform(0, 1, (rows, 20)).astype(np.float32),
        "classes": random.integers(0, len(CLASSES), (rows, 20), np.int32),
    }


def _scores_a_class(random: np.random.Generator, rows: int) -> Outputs:
    return {"scores": random.dirichlet(np.ones(len(CLASSES)), rows).astype(np.float32)}


SAMPLES: Mapping[str, Sample] = {
    "boxes": Sample(
        card=ModelCard.model_validate(
            {
                **_CARD,
                "annotation_kind": "bounding_box",
                "decoder": {"name": "boxes"},
                "outputs": [
                    {"name": "boxes", "datatype": "FP32", "shape": [20, 4]},
                    {"name": "scores", "datatype": "FP32", "shape": [20]},
                    {"name": "classes", "datatype": "INT32", "shape": [20]},
                ],
            }
        ),
        outputs=_boxes,
        empty=lambda rows: {
            "boxes": np.zeros((rows, 20, 4), np.float32),
            "scores": np.zeros((rows, 20), np.float32),
            "classes": np.zeros((rows, 20), np.int32),
        },
        broken={
            "class too high": _changed("classes", _filled(len(CLASSES))),
            "class below zero": _changed("classes", _filled(-1)),
            "score above one": _changed("scores", _filled(37)),
            "NaN score": _changed("scores", _filled(np.nan)),
            "NaN corner": _changed("boxes", _filled(np.nan)),
            "infinite corner": _changed("boxes", _filled(np.inf)),
            "too few corners": _changed("boxes", lambda array: array[..., :3]),
            "too few scores": _changed("scores", lambda array: array[:, :5]),
            "too few classes": _changed("classes", lambda array: array[:, :5]),
            "a row too few": lambda outputs: {name: _one_less(array) for name, array in outputs.items()},
            "a row too many": lambda outputs: {n: np.concatenate([a, a[:1]]) for n, a in outputs.items()},
            "one output a row short": _changed("scores", _one_less),
            "missing": lambda outputs: {name: array for name, array in outputs.items() if name != "scores"},
            "words": _changed("scores", lambda array: np.full(array.shape, b"sure", object)),
        },
    ),
    "classification": Sample(
        card=ModelCard.model_validate(
            {
                **_CARD,
                "task": "image_classification",
                "annotation_kind": "classification",
                "decoder": {"name": "classification"},
                "outputs": [{"name": "scores", "datatype": "FP32", "shape": [len(CLASSES)]}],
            }
        ),
        outputs=_scores_a_class,
        empty=lambda rows: {"scores": np.zeros((rows, len(CLASSES)), np.float32)},
        broken={
            "logits": _changed("scores", _filled(4.2)),
            "negative": _changed("scores", _filled(-0.5)),
            "NaN": _changed("scores", _filled(np.nan)),
            "a class too many": _changed("scores", lambda array: np.concatenate([array, array[:, :1]], axis=1)),
            "a class too few": _changed("scores", lambda array: array[:, 1:]),
            "a row too few": _changed("scores", _one_less),
            "flat": _changed("scores", lambda array: array.ravel()),
            "scalar": _changed("scores", lambda array: np.asarray(array.sum())),
            "missing": lambda _: {},
            "words": _changed("scores", lambda array: np.full(array.shape, b"sure", object)),
        },
    ),
}

NAMES = pytest.mark.parametrize("name", DECODERS)
BROKEN = [(name, what) for name, sample in SAMPLES.items() for what in sample.broken]


def decoded(name: str, outputs: Outputs, rows: int, **changes: Any) -> list[list[Found]]:
    card = SAMPLES[name].card.model_copy(update=changes)
    return decode_batch(ServedModel.closed(card), outputs, [PLACEMENT] * rows)


def outputs_of(name: str, rows: int, seed: int = 0) -> Outputs:
    return SAMPLES[name].outputs(np.random.default_rng(seed), rows)


@NAMES
def test_every_decoder_has_a_sample(name: str) -> None:
    assert name in SAMPLES, "add a Sample, so that the tests below look at it"
    assert DECODERS[name].version >= 1
    assert SAMPLES[name].card.decoder.name == name


@NAMES
def test_unknown_parameters_are_an_error_of_the_card(name: str) -> None:
    parameters = DECODERS[name].parameters
    assert parameters.model_validate({}) == parameters()
    with pytest.raises(ValueError, match="surprise"):
        parameters.model_validate({"surprise": 1})


@NAMES
@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 16), seed=st.integers(0, 2**32 - 1))
def test_what_is_found_keeps_the_contract(name: str, rows: int, seed: int) -> None:
    card = SAMPLES[name].card
    found = decoded(name, outputs_of(name, rows, seed), rows)
    assert len(found) == rows, "one list a row"
    for row in found:
        confidences = [one.confidence for one in row]
        assert confidences == sorted(confidences, reverse=True), "surest first"
        assert all(card.floor <= confidence <= 1 for confidence in confidences)
        assert len(row) <= card.max_detections
        for one in row:
            assert one.model_class in CLASSES
            assert one.annotation.kind == card.annotation_kind
            assert ANNOTATION.validate_json(one.annotation.model_dump_json()) == one.annotation
            if isinstance(one.annotation, BoundingBox):
                assert one.annotation.left >= 0
                assert one.annotation.top >= 0
                assert one.annotation.left + one.annotation.width <= CANVAS.width + 1e-9
                assert one.annotation.top + one.annotation.height <= CANVAS.height + 1e-9


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
    assert decoded(name, outputs, 4, floor=1.0) == [[]] * 4
    lowest = min(one.confidence for row in some for one in row)
    assert decoded(name, outputs, 4, floor=lowest) == some, "at the floor is kept"


@pytest.mark.parametrize(("name", "what"), BROKEN)
@pytest.mark.parametrize("rows", [1, 3])
def test_foreign_outputs_are_bad_model_outputs(name: str, what: str, rows: int) -> None:
    broken = SAMPLES[name].broken[what](outputs_of(name, rows))
    with pytest.raises(BadModelOutput):
        decoded(name, broken, rows)


# --- boxes alone ----------------------------------------------------------------------------------------------------


def box_outputs(*boxes: tuple[float, float, float, float, float, int]) -> Outputs:
    array = np.array(boxes, np.float32)
    return {"boxes": array[None, :, :4], "scores": array[None, :, 4], "classes": array[None, :, 5].astype(np.int32)}


def test_overlapping_boxes_of_a_class_become_one() -> None:
    found = decoded(
        "boxes", box_outputs((10, 20, 30, 40, 0.6, 0), (11, 20, 31, 40, 0.9, 0), (11, 20, 31, 40, 0.8, 1)), 1
    )
    assert [(one.model_class, round(one.confidence, 2)) for one in found[0]] == [("cat", 0.9), ("dog", 0.8)]


def test_classes_stay_apart_beyond_the_edges_too() -> None:
    # Once moved beyond the largest coordinate, as OpenCV does it, the dog outside would lie on the cat.
    outputs = box_outputs((-32, -32, -2, -2, 0.9, 1), (0, 0, 30, 30, 0.8, 0))
    assert [one.model_class for one in decoded("boxes", outputs, 1)[0]] == ["cat"]


def test_boxes_come_back_to_the_image() -> None:
    found = decoded("boxes", box_outputs((12, 22, 32, 42, 0.9, 2)), 1)[0][0]
    assert found.annotation == BoundingBox(left=20, top=20, width=40, height=40)


def test_boxes_are_cut_and_those_outside_go() -> None:
    found = decoded(
        "boxes", box_outputs((-50, -50, 200, 200, 0.9, 0), (0, 0, 60, 11, 0.8, 1), (40, 40, 30, 30, 0.7, 2)), 1
    )
    assert [one.annotation for one in found[0]] == [BoundingBox(left=0, top=0, width=120, height=80)]


def test_class_numbers_may_be_floats() -> None:
    outputs = box_outputs((12, 22, 32, 42, 0.9, 2))
    outputs["classes"] = outputs["classes"].astype(np.float32)
    assert decoded("boxes", outputs, 1)[0][0].model_class == "person"


# --- classes alone --------------------------------------------------------------------------------------------------


def test_the_surest_classes_are_kept_in_order() -> None:
    found = decoded("classification", {"scores": np.array([[0.3, 0.2, 0.5]], np.float32)}, 1)[0]
    assert [one.model_class for one in found] == ["person", "cat"]


def test_rounding_is_no_error() -> None:
    found = decoded("classification", {"scores": np.array([[1.0002, -0.0002, 0.0]], np.float32)}, 1)[0]
    assert [(one.model_class, one.confidence) for one in found] == [("cat", 1.0)]
