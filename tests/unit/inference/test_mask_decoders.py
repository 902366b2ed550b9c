"""Decoders of masks and points against plain references, pixel by pixel."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from services.inference.decoders import decode_batch, masks
from services.inference.decoders.base import Found
from services.inference.decoders.masks import Region, mask_of
from services.inference.inputs.placement import Placement
from services.inference.tensors import BadModelOutput
from shared.annotations import Canvas, Keypoints, Mask
from tests.support.decoder_samples import CANVAS, CLASSES, PLACEMENT, SAMPLES, Outputs, sample_card, served

Pixels = NDArray[np.bool_]
# pycocotools decodes in a way that numpy 2 will drop; the application never decodes with it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CROP = Placement(CANVAS, 0.8, 0.8, -16.0, 0.0)  # the middle 80 x 80 of 120 x 80, in 64 x 64
STRETCHED = Placement(CANVAS, 64 / 120, 64 / 80)


def decoded(
    kind: str, decoder: str, outputs: Outputs, parameters: Mapping[str, Any], placement: Placement = PLACEMENT
) -> list[Found]:
    card = sample_card(kind, decoder, parameters, max_detections=100)
    (found,) = decode_batch(served(card), outputs, [placement])
    return found


def pixels(found: Found) -> Pixels:
    mask = found.annotation
    assert isinstance(mask, Mask)
    return np.asarray(coco.decode({"size": list(mask.size), "counts": mask.counts.encode()}), bool)


def sampled(plane: NDArray[Any], x: float, y: float) -> float:
    """Between the middles of four cells, by hand."""
    rows, columns = plane.shape
    x, y = min(max(x, 0.0), columns - 1.0), min(max(y, 0.0), rows - 1.0)
    left, top = min(int(x), columns - 2), min(int(y), rows - 2)
    a, b = x - left, y - top
    upper = plane[top, left] * (1 - a) + plane[top, left + 1] * a
    lower = plane[top + 1, left] * (1 - a) + plane[top + 1, left + 1] * a
    return float(upper * (1 - b) + lower * b)


def in_frame(x: int, y: int, placement: Placement) -> tuple[float, float]:
    """The middle of a pixel of the image, in model pixels."""
    return (x + 0.5) * placement.scale_x + placement.offset_x, (y + 0.5) * placement.scale_y + placement.offset_y


def everywhere(planes: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
    """Scores at every pixel of the image, NaN where the model saw nothing."""
    scores = np.full((len(planes), CANVAS.height, CANVAS.width), np.nan)
    per_x, per_y = planes.shape[2] / 64, planes.shape[1] / 64
    # The cells that the image touches; those of the letterbox's ground alone do not count.
    left, top = (max(0, int(offset)) for offset in (placement.offset_x * per_x, placement.offset_y * per_y))
    right = math.ceil((placement.offset_x + CANVAS.width * placement.scale_x) * per_x - 1e-6)
    bottom = math.ceil((placement.offset_y + CANVAS.height * placement.scale_y) * per_y - 1e-6)
    seen = planes[:, top:bottom, left:right]
    for y in range(CANVAS.height):
        for x in range(CANVAS.width):
            u, v = in_frame(x, y, placement)
            if 0 <= u <= 64 and 0 <= v <= 64:
                scores[:, y, x] = [sampled(plane, u * per_x - 0.5 - left, v * per_y - 0.5 - top) for plane in seen]
    return scores


def alike(found: Pixels, expected: Pixels) -> bool:
    """OpenCV interpolates in steps of 1/32 of a cell, so that a border may lie a pixel beside the reference's."""
    return bool((found != expected).mean() < 0.01)


# --- run lengths ----------------------------------------------------------------------------------------------------


@given(st.data())
def test_masks_are_those_of_coco(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    size = (bottom - top) * (right - left)
    part = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool)
    whole = np.zeros((height, width), np.uint8, order="F")
    whole[top:bottom, left:right] = part.reshape(bottom - top, right - left)
    mask = mask_of(whole[top:bottom, left:right], Region(left, top, right, bottom), Canvas(width, height))
    if mask is None:
        assert not whole.any()
    else:
        assert mask.counts.encode() == coco.encode(whole)["counts"]
        assert mask.size == (height, width)


# --- every pixel ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("placement", [PLACEMENT, CROP, STRETCHED], ids=["letterbox", "crop", "stretch"])
@pytest.mark.parametrize("layout", ["chw", "hwc"])
def test_the_surest_class_of_each_pixel(placement: Placement, layout: str) -> None:
    logits = SAMPLES["semantic mask"].outputs(np.random.default_rng(3), 1)["masks"]
    powers = np.exp(logits[0].astype(float))
    shares = everywhere(powers / powers.sum(axis=0), placement)
    winners = np.where(np.isnan(shares[0]), -1, shares.argmax(axis=0))
    given = logits if layout == "chw" else logits.transpose(0, 2, 3, 1)
    parameters = {"layout": layout, "activation": "softmax", "background": 0}
    found = {one.model_class: one for one in decoded("mask", "semantic_mask", {"masks": given}, parameters, placement)}
    assert set(found) == {CLASSES[number - 1] for number in np.unique(winners) if number > 0}
    for number, name in enumerate(CLASSES, 1):
        if name in found:
            assert alike(pixels(found[name]), winners == number)
            expected = shares[number][winners == number].mean()
            assert found[name].confidence == pytest.approx(expected, abs=0.005), "the mean score inside"


@pytest.mark.parametrize("placement", [PLACEMENT, CROP], ids=["letterbox", "crop"])
def test_one_class_from_a_threshold_on(placement: Placement) -> None:
    plane = SAMPLES["semantic mask of one class"].outputs(np.random.default_rng(4), 1)["masks"]
    (scores,) = everywhere(plane.astype(float) / 255, placement)
    parameters = {"layout": "hw", "scale": 1 / 255, "exclusive": False, "threshold": 0.6}
    card = sample_card("mask", "semantic_mask", parameters, classes=["person"])
    ((found,),) = decode_batch(served(card), {"masks": plane}, [placement])
    expected = np.nan_to_num(scores) >= 0.6
    assert alike(pixels(found), expected)
    assert found.confidence == pytest.approx(scores[expected].mean(), abs=0.005)


def test_classes_that_overlap() -> None:
    planes = np.zeros((1, 3, 8, 8), np.float32)
    planes[0, 0], planes[0, 1] = 0.9, 0.7
    found = decoded("mask", "semantic_mask", {"masks": planes}, {"exclusive": False})
    assert [(one.model_class, round(one.confidence, 3)) for one in found] == [("cat", 0.9), ("dog", 0.7)]
    assert all(pixels(one).all() for one in found)


@pytest.mark.parametrize("placement", [PLACEMENT, CROP, STRETCHED], ids=["letterbox", "crop", "stretch"])
def test_class_numbers_of_the_nearest_cell(placement: Placement) -> None:
    numbers = np.random.default_rng(5).integers(0, 4, (1, 16, 16))
    expected = np.full((CANVAS.height, CANVAS.width), -1)
    for y in range(CANVAS.height):
        for x in range(CANVAS.width):
            u, v = in_frame(x, y, placement)
            if 0 <= u <= 64 and 0 <= v <= 64:
                expected[y, x] = numbers[0, min(15, int(v / 4)), min(15, int(u / 4))]
    found = decoded("mask", "semantic_mask", {"masks": numbers}, {"layout": "numbers", "background": 0}, placement)
    assert sorted(one.model_class for one in found) == sorted(CLASSES)
    for one in found:
        assert one.confidence == 1.0
        assert (pixels(one) == (expected == CLASSES.index(one.model_class) + 1)).all()


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = SAMPLES["semantic mask"].outputs(np.random.default_rng(6), 1)
    parameters = {"activation": "softmax", "background": 0}
    whole = decoded("mask", "semantic_mask", outputs, parameters)
    monkeypatch.setattr(masks, "_NUMBERS_AT_ONCE", 1500)
    in_strips = decoded("mask", "semantic_mask", outputs, parameters)
    for one, other in zip(whole, in_strips, strict=True):
        assert (one.model_class, one.annotation) == (other.model_class, other.annotation)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-6)


# --- one mask an object ---------------------------------------------------------------------------------------------


def one_box(left: float, top: float, right: float, bottom: float) -> Outputs:
    return {
        "boxes": np.array([[[0, 0, 0, 0], [left, top, right, bottom]]], np.float32),
        "scores": np.array([[0.01, 0.8]], np.float32),
        "classes": np.array([[0, 1]]),
    }


@pytest.mark.parametrize("box", [(12, 22, 32, 42), (-10, 5, 30, 50), (40.3, 30.2, 61.7, 45.9)])
def test_a_mask_within_its_box(box: tuple[float, float, float, float]) -> None:
    plane = np.random.default_rng(7).uniform(0, 1, (28, 28))
    plane = (plane + np.roll(plane, 1, 0) + np.roll(plane, 1, 1) + np.roll(plane, 2, 0)) / 4
    outputs = {**one_box(*box), "masks": np.stack([np.zeros((28, 28)), plane])[None, :, None].astype(np.float32)}
    (found,) = decoded("mask", "instance_masks", outputs, {"form": "box"})
    left, top = (box[0] - 2) * 2, (box[1] - 12) * 2
    width, height = (box[2] - box[0]) * 2, (box[3] - box[1]) * 2
    expected = np.zeros((80, 120), bool)
    for y in range(max(0, math.floor(top)), min(80, math.ceil(top + height))):
        for x in range(max(0, math.floor(left)), min(120, math.ceil(left + width))):
            u, v = (x + 0.5 - left) / width * 28 - 0.5, (y + 0.5 - top) / height * 28 - 0.5
            expected[y, x] = sampled(plane, u, v) >= 0.5
    assert (found.model_class, round(found.confidence, 3)) == ("dog", 0.8)
    assert alike(pixels(found), expected)


def test_a_mask_over_the_whole_picture_is_cut_to_its_box() -> None:
    outputs = {**one_box(12, 22, 32, 42), "masks": np.ones((1, 2, 16, 16), np.uint8)}
    (found,) = decoded("mask", "instance_masks", outputs, {"form": "full"})
    expected = np.zeros((80, 120), bool)
    expected[20:60, 20:60] = True
    assert (pixels(found) == expected).all()


def test_a_mask_is_the_sum_of_its_prototypes() -> None:
    random = np.random.default_rng(8)
    prototypes = np.kron(random.normal(0, 1, (1, 6, 4, 4)), np.ones((4, 4))).astype(np.float32)
    coefficients = random.normal(0, 1, (1, 2, 6)).astype(np.float32)
    outputs = {**one_box(4, 14, 58, 50), "masks": prototypes, "coefficients": coefficients}
    parameters = {"form": "prototypes", "coefficients": "coefficients", "activation": "sigmoid"}
    (found,) = decoded("mask", "instance_masks", outputs, parameters)
    plane = sum(float(c) * p.astype(float) for c, p in zip(coefficients[0, 1], prototypes[0], strict=True))
    (scores,) = everywhere(1 / (1 + np.exp(-np.asarray(plane)[None])), PLACEMENT)
    expected = np.zeros((80, 120), bool)
    expected[4:76, 4:112] = scores[4:76, 4:112] >= 0.5
    assert alike(pixels(found), expected)


def test_a_yolo_head_brings_its_coefficients() -> None:
    # One candidate, 16 x 16 in the middle: coefficient -1 for a prototype that is -9 above and 9 below its middle.
    head = np.zeros((1, 4 + 3 + 2, 5), np.float32)
    head[0, :, 2] = [32, 32, 16, 16, 0, 0, 0.9, -1, 0]
    prototypes = np.zeros((1, 2, 16, 16), np.float32)
    prototypes[0, 0, :8], prototypes[0, 0, 8:] = -9, 9
    parameters = {
        "form": "prototypes",
        "masks": "output1",
        "activation": "sigmoid",
        "objects": {"kind": "yolo", "extra": 2},
    }
    (found,) = decoded("mask", "instance_masks", {"output0": head, "output1": prototypes}, parameters)
    expected = np.zeros((80, 120), bool)
    expected[24:40, 44:76] = True
    assert found.model_class == "person"
    assert (pixels(found) == expected).all()


def test_an_object_without_pixels_is_none() -> None:
    outputs = {**one_box(12, 22, 32, 42), "masks": np.zeros((1, 2, 28, 28), np.float32)}
    assert decoded("mask", "instance_masks", outputs, {"form": "box"}) == []


# --- points ---------------------------------------------------------------------------------------------------------

NAMES = ["nose", "tail"]


def points(found: Found) -> list[tuple[str, float, float, int]]:
    assert isinstance(found.annotation, Keypoints)
    return [(point.name, point.x, point.y, point.visibility) for point in found.annotation.points]


@pytest.mark.parametrize("order", ["xy", "yx"])
@pytest.mark.parametrize("units", ["pixels", "normalized"])
@pytest.mark.parametrize("flat", [False, True])
def test_points_come_back_to_the_image(order: str, units: str, flat: bool) -> None:
    places = np.array([[12, 22, 0.9], [90, -5, 0.2]])
    if units == "normalized":
        places[:, :2] /= 64
    if order == "yx":
        places = places[:, [1, 0, 2]]
    raw = np.stack([np.zeros((2, 3)), places])[None].astype(np.float32)
    outputs = {**one_box(12, 22, 32, 42), "keypoints": raw.reshape(1, 2, -1) if flat else raw}
    parameters = {"names": NAMES, "order": order, "units": units}
    (found,) = decoded("keypoints", "keypoints", outputs, parameters)
    assert (found.model_class, round(found.confidence, 3)) == ("dog", 0.8)
    assert points(found) == [("nose", 20, 20, 2), ("tail", 120, 0, 1)]


@pytest.mark.parametrize(("score", "visibility"), [(0.5, 2), (0.49, 1), (0.05, 1), (0.04, 0)])
def test_a_score_says_what_is_seen(score: float, visibility: int) -> None:
    outputs = {"keypoints": np.array([[[12, 22, score], [12, 22, 1.0]]], np.float64)}
    (found,) = decoded("keypoints", "keypoints", outputs, {"names": NAMES, "objects": None})
    assert points(found)[0] == ("nose", 20, 20, visibility)
    assert found.model_class == "cat"
    assert found.confidence == pytest.approx((1 + score) / 2)


def test_points_without_scores_are_seen() -> None:
    outputs = {**one_box(12, 22, 32, 42), "keypoints": np.full((1, 2, 2, 2), 22, np.float32)}
    (found,) = decoded("keypoints", "keypoints", outputs, {"names": NAMES, "scored": False})
    assert points(found) == [("nose", 40, 20, 2), ("tail", 40, 20, 2)]


def test_a_yolo_head_brings_its_points() -> None:
    head = np.zeros((1, 4 + 3 + 6, 5), np.float32)
    head[0, :, 2] = [32, 32, 16, 16, 0, 0.7, 0, 12, 22, 0.9, 32, 42, 0.01]
    parameters = {"names": NAMES, "points": None, "objects": {"kind": "yolo", "extra": 6}}
    (found,) = decoded("keypoints", "keypoints", {"output0": head}, parameters)
    assert found.model_class == "dog"
    assert points(found) == [("nose", 20, 20, 2), ("tail", 60, 60, 0)]


@pytest.mark.parametrize("shape", [(1, 2, 3, 3), (1, 2, 2, 2), (1, 2, 7), (1, 1, 2, 3)])
def test_points_of_another_shape_are_bad(shape: Sequence[int]) -> None:
    with pytest.raises(BadModelOutput):
        decoded(
            "keypoints",
            "keypoints",
            {**one_box(12, 22, 32, 42), "keypoints": np.zeros(shape, np.float32)},
            {"names": NAMES},
        )
