"""Label Studio's JSON as Label Studio and its users write it, and what of it is refused."""

import json
from typing import Any

import pytest

from services.api.exchange.formats import FORMATS
from shared.annotations import BoundingBox, Classification, Radio
from tests.support.labelled_rows import HEIGHT, WIDTH, row_facts
from tests.support.uploads import take

FORMAT = FORMATS["label_studio"]
ROW = row_facts("image")


def _task(*result: dict[str, Any], said: str = "annotations", **more: Any) -> dict[str, Any]:
    return {"id": 17, "data": {"global_key": ROW.global_key}, said: [{"result": list(result), **more}]}


def _region(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": "r1", "type": kind, "from_name": "label", "to_name": "image", **sizes, "value": value, **more}


BOX = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["a bounding_box"]}


def _content(*tasks: dict[str, Any]) -> bytes:
    return json.dumps(tasks).encode()


def test_percent_of_the_picture_become_pixels() -> None:
    record = take(FORMAT, _content(_task(_region("rectanglelabels", BOX))), [ROW]).only()
    assert record.annotation == BoundingBox(left=16, top=24, width=32, height=12)
    assert record.id == "r1"


def test_a_box_turns_about_its_top_left_corner() -> None:
    turned = _region("rectanglelabels", {**BOX, "rotation": 90})
    record = take(FORMAT, _content(_task(turned)), [ROW]).only()
    assert isinstance(record.annotation, BoundingBox)
    # Turned clockwise about (16, 24) the 32 x 12 pixels lie to the left of it, and down.
    corners = [pytest.approx(corner) for corner in record.annotation.corners()]
    assert corners == [(16, 24), (16, 56), (4, 56), (4, 24)]


def test_the_score_of_a_region_goes_before_that_of_its_prediction() -> None:
    regions = [_region("rectanglelabels", BOX, score=0.25), _region("rectanglelabels", BOX, id="r2")]
    found = take(FORMAT, _content(_task(*regions, said="predictions", score=0.75)), [ROW], "pre_labels")
    assert [record.confidence for record in found.rows[ROW.global_key]] == [0.25, 0.75]


def test_choices_are_found_by_their_option_where_the_control_is_called_otherwise() -> None:
    choice = _region("choices", {"choices": ["indoors"]}, from_name="c")
    assert isinstance(take(FORMAT, _content(_task(choice)), [ROW]).only().annotation, Radio)


def test_a_prediction_of_an_unknown_choice_is_a_class_of_its_own() -> None:
    choice = _region("choices", {"choices": ["unicorn"]}, from_name="c", score=0.5)
    record = take(FORMAT, _content(_task(choice, said="predictions")), [ROW], "pre_labels").only()
    assert (record.annotation, record.model_class, record.confidence) == (Classification(), "unicorn", 0.5)


def test_cancelled_annotations_are_left_out_and_of_several_the_last_is_taken() -> None:
    task = _task(_region("rectanglelabels", BOX))
    newer = {"result": [_region("rectanglelabels", {**BOX, "x": 0})]}
    task["annotations"] += [newer, {"result": [], "was_cancelled": True}]
    found = take(FORMAT, _content(task), [ROW])
    assert found.only().annotation == BoundingBox(left=0, top=24, width=32, height=12)
    assert [(one.code, one.count) for one in found.losses.listed()] == [("others_of_the_task", 1)]


def test_the_field_that_names_the_row_may_be_another() -> None:
    task = {"data": {"file": ROW.global_key}, "annotations": [{"result": [_region("rectanglelabels", BOX)]}]}
    assert take(FORMAT, _content(task), [ROW], key_field="file").only()
    (refusal,) = take(FORMAT, _content(task), [ROW]).refusals
    assert (refusal.error.code, refusal.error.pointer) == ("data_row_missing", "/data/global_key")


@pytest.mark.parametrize(
    ("region", "code", "pointer"),
    [
        (_region("rectanglelabels", {**BOX, "width": 0}), "invalid_geometry", "/value"),
        (_region("rectanglelabels", {**BOX, "x": "left"}), "invalid_geometry", "/value"),
        (_region("rectanglelabels", {"x": 1, "rectanglelabels": ["a bounding_box"]}), "invalid_geometry", "/value"),
        (_region("rectanglelabels", {**BOX, "rectanglelabels": []}), "label_missing", "/value/rectanglelabels"),
        (_region("rectanglelabels", {**BOX, "rectanglelabels": ["x"]}), "unknown_feature", "/value/rectanglelabels/0"),
        (
            _region("brushlabels", {"format": "rle", "rle": [1], "brushlabels": ["A mask"]}),
            "invalid_geometry",
            "/value",
        ),
        (
            _region("brushlabels", {"format": "rle", "rle": [999], "brushlabels": ["A mask"]}),
            "invalid_geometry",
            "/value",
        ),
        (_region("polygonlabels", {"points": [[1, 2]], "polygonlabels": ["A polygon"]}), "invalid_geometry", "/value"),
        (_region("ellipselabels", {"x": 1}), "kind_not_held", "/type"),
        (_region("choices", {"choices": ["unicorn"]}, id="other"), "unknown_feature", "/from_name"),
    ],
)
def test_what_cannot_be_taken_is_refused_where_it_stands(region: dict[str, Any], code: str, pointer: str) -> None:
    found = take(FORMAT, _content(_task(region, _region("rectanglelabels", BOX, id="whole"))), [ROW])
    assert len(found.rows[ROW.global_key]) == 1
    (refusal,) = found.refusals
    assert (refusal.place, refusal.error.code) == ("/0", code)
    assert refusal.error.pointer == f"/annotations/0/result/0{pointer}"
