"""Regions of Label Studio as detections: percent to pixels, spans, scores."""

import json
from typing import Any

import numpy as np
import pytest

from services.inference.decoders import decode_batch
from services.inference.decoders.base import Found
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import BadModelOutput
from shared.annotations import BoundingBox, Canvas, Mask, Polygon, TextEntity
from shared.label_studio import brush_rle
from tests.support.decoder_samples import SAMPLES, sample_card

CANVAS = Canvas(width=120, height=80)


def decoded(regions: list[dict[str, Any]], sample: str = "boxes", score: Any = 0.0) -> list[Found]:
    chosen = SAMPLES[f"label studio, {sample}"]
    return _decoded(chosen.model, chosen.placement, regions, score)


def _decoded(model: ServedModel, placement: Placement, regions: list[dict[str, Any]], score: Any) -> list[Found]:
    raw = np.empty((1, 1), np.object_)
    raw[0, 0] = json.dumps({"result": regions, "score": score}).encode()
    return decode_batch(model, {"prediction": raw}, [placement])[0]


def box(**more: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 25, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["cat"]}
    return {"from_name": "label", "to_name": "it", "type": "rectanglelabels", "value": value, "score": 0.9, **more}


def span(start: int, end: int, **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": ["cat"], **more}
    return {"from_name": "label", "to_name": "it", "type": "labels", "value": value, "score": 0.9}


def test_percent_become_pixels() -> None:
    (found,) = decoded([box()])
    assert (found.model_class, found.confidence) == ("cat", 0.9)
    assert found.annotation == BoundingBox(left=12, top=20, width=60, height=40)


def test_a_turned_box_turns_about_its_corner_there_and_its_centre_here() -> None:
    region = box()
    region["value"] |= {"x": 50, "y": 50, "width": 20, "height": 25, "rotation": 90}
    (found,) = decoded([region])
    # 24 x 20 pixels, turned clockwise about (60, 40), lie left of and below that corner.
    assert found.annotation == BoundingBox(left=38, top=42, width=24, height=20, rotation=90)


def test_what_lies_outside_is_cut_or_left_out() -> None:
    partly, wholly = box(), box()
    partly["value"] |= {"x": -10, "y": 90, "width": 20, "height": 20}
    wholly["value"] |= {"x": 101}
    (found,) = decoded([partly, wholly])
    assert found.annotation == BoundingBox(left=0, top=72, width=12, height=8)


def test_a_region_with_two_labels_is_two_detections() -> None:
    region = box()
    region["value"]["rectanglelabels"] = ["cat", "dog", "cat"]
    assert [one.model_class for one in decoded([region])] == ["cat", "dog"]


def test_regions_of_other_controls_are_not_read() -> None:
    assert decoded([box(from_name="other", type="textarea", value={})]) == []


@pytest.mark.parametrize(
    ("own", "of_all", "expected"),
    [(0.4, 0.8, 0.4), (None, 0.8, 0.8), (None, 0.0, 1.0), (None, None, 1.0), (1.0004, 0, 1.0), (0.0, 0.8, None)],
)
def test_whose_score_counts(own: float | None, of_all: float | None, expected: float | None) -> None:
    found = decoded([box(score=own)], score=of_all)
    assert [one.confidence for one in found] == ([] if expected is None else [expected])


def test_what_stands_for_a_missing_score_is_the_card_s_choice() -> None:
    card = sample_card("bounding_box", "label_studio", {"score_if_missing": 0.3})
    (found,) = _decoded(ServedModel.closed(card), Placement(CANVAS), [box(score=None)], 0.0)
    assert found.confidence == 0.3


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (span(4, 12), (4, 12)),
        (span(4, 12, text="Lovelace"), (4, 12)),
        (span(4, 11, text="Lovelace"), (4, 12)),
        (span(4, 11, text="Love"), (4, 11)),
        (span(4, 11, text=None), (4, 11)),
    ],
)
def test_spans_are_half_open_unless_their_text_says_otherwise(
    region: dict[str, Any], expected: tuple[int, int]
) -> None:
    (found,) = decoded([region], "spans")
    assert found.annotation == TextEntity(start=expected[0], end=expected[1])


def test_rings_become_polygons_clockwise() -> None:
    value = {"points": [[0, 0], [0, 50], [50, 50], [50, 0]], "polygonlabels": ["dog"]}
    (found,) = decoded([box(type="polygonlabels", value=value)], "polygons")
    assert isinstance(found.annotation, Polygon)
    assert found.annotation.area() == 60 * 40
    assert set(found.annotation.parts[0].exterior) == {(0, 0), (60, 0), (60, 40), (0, 40)}


def test_brushes_become_masks_and_empty_ones_nothing() -> None:
    card = sample_card("mask", "label_studio", {"regions": "brushlabels"})
    bitmap = np.zeros((80, 120), np.uint8)
    empty = {"format": "rle", "rle": brush_rle.encode(bitmap), "brushlabels": ["cat"]}
    bitmap[10:20, 30:50] = 1
    drawn = {"format": "rle", "rle": brush_rle.encode(bitmap), "brushlabels": ["cat"]}
    regions = [box(type="brushlabels", value=value) for value in (drawn, empty)]
    (found,) = _decoded(ServedModel.closed(card), Placement(CANVAS), regions, 0.0)
    assert isinstance(found.annotation, Mask)
    assert found.annotation.area() == 200
    other = {**drawn, "rle": brush_rle.encode(np.zeros((80, 119), np.uint8))}
    with pytest.raises(BadModelOutput, match="another size"):
        _decoded(ServedModel.closed(card), Placement(CANVAS), [box(type="brushlabels", value=other)], 0.0)
