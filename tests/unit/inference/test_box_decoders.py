"""Decoders of boxes against plain references, and what each of their parameters means."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.inference.decoders import decode_batch
from services.inference.decoders.base import Found
from services.inference.tensors import BadModelOutput
from shared.annotations import BoundingBox
from tests.support.decoder_samples import CLASSES, FRAME, PLACEMENT, SAMPLES, Outputs, sample_card, served

Box = tuple[float, float, float, float]
Candidate = tuple[str, float, Box]
"""A class, a score and left, top, right, bottom in model pixels."""


def decoded(decoder: str, outputs: Outputs, parameters: dict[str, Any] | None = None, **changes: Any) -> list[Found]:
    (found,) = decode_batch(served(sample_card("bounding_box", decoder, parameters, **changes)), outputs, [PLACEMENT])
    return found


def said(found: Sequence[Found]) -> list[tuple[str, float]]:
    return [(one.model_class, round(one.confidence, 4)) for one in found]


def boxes(*boxes: tuple[float, float, float, float, float, int]) -> Outputs:
    array = np.array(boxes, np.float32)
    return {"boxes": array[None, :, :4], "scores": array[None, :, 4], "classes": array[None, :, 5].astype(np.int32)}


# --- a reference, one candidate at a time ---------------------------------------------------------------------------


def overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union > 0 else 0.0


def without_doubles(candidates: Sequence[Candidate], nms_iou: float, agnostic: bool = False) -> list[Candidate]:
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda candidate: -candidate[1]):
        rivals = [other for other in kept if agnostic or other[0] == one[0]]
        if all(overlap(one[2], other[2]) <= nms_iou for other in rivals):
            kept.append(one)
    return kept


def in_image(box: Box) -> Box | None:
    """120 x 80, half as large, 2 and 12 pixels into the model's picture."""
    left, right = (min(120.0, max(0.0, (x - 2) * 2)) for x in (box[0], box[2]))
    top, bottom = (min(80.0, max(0.0, (y - 12) * 2)) for y in (box[1], box[3]))
    left, top, right, bottom = (round(side, 2) for side in (left, top, right, bottom))
    return (left, top, right, bottom) if right > left and bottom > top else None


def check(found: Sequence[Found], candidates: Sequence[Candidate], nms_iou: float | None = 0.5) -> None:
    kept = candidates if nms_iou is None else without_doubles(candidates, nms_iou)
    expected = [(name, score, placed) for name, score, box in kept if score >= 0.05 and (placed := in_image(box))]
    expected.sort(key=lambda one: -one[1])
    assert len(found) == len(expected[:300])
    for one, (name, score, box) in zip(found, expected, strict=False):
        assert one.model_class == name
        assert one.confidence == pytest.approx(score, abs=1e-5)
        assert isinstance(one.annotation, BoundingBox)
        corners = one.annotation.corners()
        assert (*corners[0], *corners[2]) == pytest.approx(box, abs=0.03)


def centred(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


# --- boxes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nms_iou", [0.0, 0.3, 0.5, 0.9, None])
def test_boxes_are_those_of_the_reference(seed: int, nms_iou: float | None) -> None:
    outputs = SAMPLES["boxes"].outputs(np.random.default_rng(seed), 1)
    outputs["boxes"][..., 2:] += 1  # the reference and OpenCV differ about boxes without area
    rows = zip(outputs["boxes"][0], outputs["scores"][0], outputs["classes"][0], strict=True)
    candidates: list[Candidate] = [
        (CLASSES[number], float(score), (float(box[0]), float(box[1]), float(box[2]), float(box[3])))
        for box, score, number in rows
    ]
    check(decoded("boxes", outputs, {"nms_iou": nms_iou}, max_detections=300), candidates, nms_iou)


def test_overlapping_boxes_of_a_class_become_one() -> None:
    outputs = boxes((10, 20, 30, 40, 0.6, 0), (11, 20, 31, 40, 0.9, 0), (11, 20, 31, 40, 0.8, 1))
    assert said(decoded("boxes", outputs)) == [("cat", 0.9), ("dog", 0.8)]
    assert said(decoded("boxes", outputs, {"class_agnostic": True})) == [("cat", 0.9)]
    assert said(decoded("boxes", outputs, {"nms_iou": None})) == [("cat", 0.9), ("dog", 0.8), ("cat", 0.6)]


def test_classes_stay_apart_beyond_the_edges_too() -> None:
    # Once moved beyond the largest coordinate, as OpenCV does it, the dog outside would lie on the cat.
    outputs = boxes((-32, -32, -2, -2, 0.9, 1), (0, 0, 30, 30, 0.8, 0))
    assert [one.model_class for one in decoded("boxes", outputs)] == ["cat"]


def test_boxes_come_back_to_the_image() -> None:
    found = decoded("boxes", boxes((12, 22, 32, 42, 0.9, 2)))[0]
    assert found.annotation == BoundingBox(left=20, top=20, width=40, height=40)


def test_boxes_are_cut_and_those_outside_go() -> None:
    outputs = boxes((-50, -50, 200, 200, 0.9, 0), (0, 0, 60, 11, 0.8, 1), (40, 40, 30, 30, 0.7, 2))
    assert [one.annotation for one in decoded("boxes", outputs)] == [BoundingBox(left=0, top=0, width=120, height=80)]


def test_a_box_that_is_far_away_is_cut_too() -> None:
    outputs = boxes((-3e38, -3e38, 3e38, 3e38, 0.9, 0), (12, 22, 32, 42, 0.8, 0))
    assert said(decoded("boxes", outputs, {"nms_iou": 0.5})) == [("cat", 0.9), ("cat", 0.8)]


def test_class_numbers_may_be_floats() -> None:
    outputs = boxes((12, 22, 32, 42, 0.9, 2))
    outputs["classes"] = outputs["classes"].astype(np.float32)
    assert decoded("boxes", outputs)[0].model_class == "person"


@pytest.mark.parametrize(
    ("corners", "numbers"),
    [("xyxy", (12, 22, 32, 42)), ("cxcywh", (22, 32, 20, 20)), ("xywh", (12, 22, 20, 20))],
)
@pytest.mark.parametrize("units", ["pixels", "normalized"])
def test_corners_are_read_as_the_card_says(corners: str, numbers: Sequence[float], units: str) -> None:
    outputs = boxes((*numbers, 0.9, 2))  # type: ignore[arg-type]
    if units == "normalized":
        outputs["boxes"] /= FRAME
    found = decoded("boxes", outputs, {"corners": corners, "units": units})
    assert found[0].annotation == BoundingBox(left=20, top=20, width=40, height=40)


def test_a_background_class_is_none_of_the_cards() -> None:
    outputs = boxes((12, 22, 32, 42, 0.9, 0), (2, 12, 12, 22, 0.8, 1), (42, 42, 52, 52, 0.7, 3))
    assert said(decoded("boxes", outputs, {"background": 0})) == [("cat", 0.8), ("person", 0.7)]
    assert said(decoded("boxes", outputs, {"background": 3})) == [("cat", 0.9), ("dog", 0.8)]
    with pytest.raises(BadModelOutput, match="class number"):
        decoded("boxes", outputs)


def test_padding_under_the_floor_may_have_any_class() -> None:
    outputs = boxes((12, 22, 32, 42, 0.9, 1), (0, 0, 0, 0, 0, -1))
    assert said(decoded("boxes", outputs)) == [("dog", 0.9)]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_one_score_a_class(activation: str) -> None:
    logits = [[2.0, -1.0, 0.5], [-3.0, -2.0, 1.5]]
    outputs = {"boxes": boxes((12, 22, 32, 42, 0, 0), (42, 22, 62, 42, 0, 0))["boxes"], "scores": np.array([logits])}
    shares = [
        [math.exp(z) / sum(map(math.exp, row)) if activation == "softmax" else 1 / (1 + math.exp(-z)) for z in row]
        for row in logits
    ]
    found = decoded("boxes", outputs, {"classes": None, "activation": activation})
    expected = [(CLASSES[row.index(max(row))], round(max(row), 4)) for row in shares]
    assert sorted(said(found)) == sorted(expected)


def test_box_score_and_class_in_one_output() -> None:
    joined = np.array([[[12, 22, 32, 42, 0.9, 2], [0, 0, 0, 0, 0, 0]]], np.float32)
    found = decoded("boxes", {"output0": joined}, {"boxes": "output0", "joined": True})
    assert said(found) == [("person", 0.9)]
    assert found[0].annotation == BoundingBox(left=20, top=20, width=40, height=40)


# --- raw heads ------------------------------------------------------------------------------------------------------


def reference_of_head(head: NDArray[Any], layout: str) -> list[Candidate]:
    """`head` N x (4 + C) or N x (5 + C)."""
    cells = [(x, y, stride) for stride in (8, 16, 32) for y in range(64 // stride) for x in range(64 // stride)]
    found: list[Candidate] = []
    for row, (column, line, stride) in zip(head.astype(float), cells, strict=True):
        x, y, width, height = row[:4]
        if layout == "x":
            x, y = (x + column) * stride, (y + line) * stride
            width, height = math.exp(width) * stride, math.exp(height) * stride
        scores = row[4:] if layout == "v8" else row[5:] * row[4]
        found.append((CLASSES[int(scores.argmax())], float(scores.max()), centred(x, y, width, height)))
    return found


@pytest.mark.parametrize("layout", ["v5", "v8", "x"])
@pytest.mark.parametrize("seed", range(5))
def test_heads_are_those_of_the_reference(layout: str, seed: int) -> None:
    outputs = SAMPLES[f"yolo {layout}"].outputs(np.random.default_rng(seed), 1)
    head = outputs["output0"][0].T if layout == "v8" else outputs["output0"][0]
    candidates = [one for one in reference_of_head(head, layout) if one[1] >= 0.05]
    found = decoded("yolo", outputs, {"layout": layout}, max_detections=300)
    assert len(found) > 20
    check(found, candidates)


def test_a_grid_that_does_not_fill_the_picture_is_bad() -> None:
    outputs = SAMPLES["yolo x"].outputs(np.random.default_rng(0), 1)
    with pytest.raises(BadModelOutput, match="cells"):
        decoded("yolo", outputs, {"layout": "x", "strides": [8, 16]})


def test_a_box_that_is_infinitely_large_is_bad() -> None:
    outputs = SAMPLES["yolo x"].outputs(np.random.default_rng(0), 1)
    outputs["output0"][0, :, 2] = 1000
    with pytest.raises(BadModelOutput, match="infinitely"):
        decoded("yolo", outputs, {"layout": "x"})


def test_of_very_many_candidates_the_surest_count() -> None:
    random = np.random.default_rng(1)
    count = 25_200
    head = np.zeros((1, count, 8), np.float32)
    head[0, :, :4] = random.uniform((2, 12, 4, 4), (62, 52, 20, 20), (count, 4))
    head[0, :, 4], head[0, :, 5] = 1, random.uniform(0.06, 1, count)
    found = decoded("yolo", {"output0": head}, {"layout": "v5"}, max_detections=300)
    surest = head[0, np.argsort(-head[0, :, 5])[:4096]].astype(float)
    check(found, [("cat", float(row[5]), centred(*(float(side) for side in row[:4]))) for row in surest])


# --- queries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_queries_are_those_of_the_reference(seed: int, activation: str) -> None:
    outputs = SAMPLES["detr"].outputs(np.random.default_rng(seed), 1)
    if activation == "sigmoid":
        outputs["logits"] = outputs["logits"][..., :3]
    candidates: list[Candidate] = []
    for logits, box in zip(outputs["logits"][0].astype(float), outputs["pred_boxes"][0].astype(float), strict=True):
        powers = [math.exp(z) for z in logits]
        shares = [p / sum(powers) for p in powers] if activation == "softmax" else [p / (1 + p) for p in powers]
        best = max(range(3), key=shares.__getitem__)
        candidates.append((CLASSES[best], shares[best], centred(*(side * 64 for side in box))))
    found = decoded("detr", outputs, {"activation": activation}, max_detections=300)
    assert len(found) > 3
    check(found, candidates, None)


# --- classes of the whole row ---------------------------------------------------------------------------------------


def classified(scores: Sequence[float], **parameters: Any) -> list[Found]:
    card = sample_card("classification", "classification", parameters)
    (found,) = decode_batch(served(card), {"scores": np.array([scores], np.float32)}, [PLACEMENT])
    return found


def test_the_surest_classes_are_kept_in_order() -> None:
    assert said(classified([0.3, 0.2, 0.5])) == [("person", 0.5), ("cat", 0.3)]


def test_rounding_is_no_error() -> None:
    assert said(classified([1.0002, -0.0002, 0.0])) == [("cat", 1.0)]


def test_logits_become_confidences() -> None:
    logits = [2.0, -1.0, 1.0]
    shares = [math.exp(z) / sum(map(math.exp, logits)) for z in logits]
    assert said(classified(logits, activation="softmax")) == [
        ("cat", round(shares[0], 4)),
        ("person", round(shares[2], 4)),
    ]
    assert said(classified(logits, activation="sigmoid")) == [("cat", 0.8808), ("person", 0.7311)]
    assert said(classified([1e4, -1e4, 0.0], activation="sigmoid")) == [("cat", 1.0), ("person", 0.5)]
    assert said(classified([1e4, -1e4, 0.0], activation="softmax")) == [("cat", 1.0)]
