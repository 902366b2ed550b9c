"""COCO: what is written is read back; other tools' ways are read; what is wrong is refused where it stands."""

import json
from typing import Any
from uuid import UUID

import pytest

from services.api.exchange.formats import FORMATS
from services.api.exchange.rows import LabelledRow, RowFacts
from shared.annotations import BoundingBox, FeatureType, Keypoint, Keypoints, Mask, Point, Polygon, PolygonPart
from tests.support.labelled_rows import HEIGHT, WIDTH, row_facts, vocabulary_of, write
from tests.support.uploads import label, take

COCO = FORMATS["coco"]
ROW = row_facts("image")


def test_a_polygon_with_a_hole_is_written_as_pixels_and_that_is_said() -> None:
    square = ((10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0))
    hole = ((15.0, 15.0), (25.0, 15.0), (25.0, 25.0), (15.0, 25.0))
    record = label("A polygon", Polygon(parts=(PolygonPart(exterior=square, holes=(hole,)),)))
    content, losses = write(COCO, [LabelledRow(ROW, [record])])
    assert [(one.about, one.code, one.count) for one in losses.listed()] == [("polygon", "holes_rasterised", 1)]
    (written,) = json.loads(content)["annotations"]
    assert written["area"] == 300
    assert Mask(size=written["segmentation"]["size"], counts=written["segmentation"]["counts"]).area() == 300


def test_keypoints_have_a_place_for_every_name_of_their_category() -> None:
    nose = Keypoint(name="nose", x=3, y=4)
    ear = Keypoint(name="ear", x=5, y=6, visibility=1)
    records = [label("A point", Keypoints(points=those)) for those in ((nose,), (ear,), (ear, nose))]
    content, _ = write(COCO, [LabelledRow(ROW, records)])
    document = json.loads(content)
    assert [one["keypoints"] for one in document["annotations"]] == [
        [3, 4, 2, 0, 0, 0],
        [0, 0, 0, 5, 6, 1],
        [3, 4, 2, 5, 6, 1],
    ]
    (category,) = [one for one in document["categories"] if "keypoints" in one]
    assert category["keypoints"] == ["nose", "ear"]


def test_results_are_an_array_whose_images_have_the_ids_of_every_export() -> None:
    record = label("A bounding_box", BoundingBox(left=1, top=2, width=3, height=4), confidence=0.5)
    rows = [LabelledRow(ROW, [record]), LabelledRow(row_facts("image", "two.jpg"), [])]
    results, losses = write(COCO, rows, "pre_labels", layout="results")
    dataset, _ = write(COCO, rows[::-1])
    (result,) = json.loads(results)
    images = {image["id"]: image["file_name"] for image in json.loads(dataset)["images"]}
    assert (images[result["image_id"]], result["bbox"], result["score"]) == (ROW.global_key, [1, 2, 3, 4], 0.5)
    assert [(one.about, one.code, one.count) for one in losses.listed()] == [("empty_rows", "no_images_in_results", 1)]


def _red() -> UUID:
    vocabulary, parent_id = vocabulary_of("image"), None
    for name in ("A bounding_box", "colour", "red"):
        found = vocabulary.named(name, parent_id)
        assert found is not None
        parent_id = found.id
    assert parent_id is not None
    return parent_id


def _document(annotation: dict[str, Any], **category: Any) -> bytes:
    # In an order in which what is needed first comes last.
    document = {
        "annotations": [{"id": 7, "image_id": 3, "category_id": 1, **annotation}],
        "images": [{"id": 3, "file_name": ROW.global_key, "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "a bounding_box", **category}],
    }
    return json.dumps(document).encode()


def test_a_document_of_another_tool_is_read() -> None:
    content = _document({"bbox": [1, 2, 3, 4], "iscrowd": 1, "attributes": {"colour": "red", "truncated": True}})
    record = take(COCO, content, [ROW]).only()
    assert record.annotation == BoundingBox(left=1, top=2, width=3, height=4)
    assert record.id == "7"
    assert [one.annotation.option_ids() for one in record.answers] == [(_red(),)]
    assert record.extras == {"coco": {"iscrowd": 1, "attributes": {"truncated": True}}}


def test_a_turned_box_as_cvat_writes_it() -> None:
    content = _document({"bbox": [1, 2, 3, 4], "segmentation": [], "attributes": {"rotation": 315.0}})
    assert take(COCO, content, [ROW]).only().annotation == BoundingBox(left=1, top=2, width=3, height=4, rotation=-45)


def test_uncompressed_runs_go_down_the_columns() -> None:
    runs = {"size": [HEIGHT, WIDTH], "counts": [1, 2, HEIGHT * WIDTH - 3]}
    content = _document({"segmentation": runs}, name="A mask")
    found = take(COCO, content, [ROW]).only().annotation
    assert found.convert(FeatureType.BOUNDING_BOX) == BoundingBox(left=0, top=1, width=1, height=2)


def test_a_prediction_of_an_unknown_class_keeps_the_fullest_geometry() -> None:
    shape = {"bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6]], "score": 0.25}
    record = take(COCO, _document(shape, name="unicorn"), [ROW], "pre_labels").only()
    assert record.annotation == Polygon(parts=(PolygonPart(exterior=((1, 2), (4, 2), (4, 6))),))
    assert (record.feature_schema_id, record.model_class, record.confidence) == (None, "unicorn", 0.25)


def test_results_alone_name_their_rows_and_classes() -> None:
    result = {"image_id": ROW.global_key, "category_id": "unicorn", "bbox": [1, 2, 3, 4], "score": 0.25}
    content = json.dumps([result, {**result, "image_id": 5}]).encode()
    found = take(COCO, content, [ROW], "pre_labels")
    assert len(found.rows[ROW.global_key]) == 1
    assert [(one.place, one.error.code, one.error.pointer) for one in found.refusals] == [
        ("/1", "name_missing", "/image_id")
    ]


def test_an_image_without_annotations_is_part_of_the_upload() -> None:
    content = json.dumps({"images": [{"id": 1, "file_name": ROW.global_key}]}).encode()
    assert take(COCO, content, [ROW]).rows == {ROW.global_key: []}


@pytest.mark.parametrize(
    ("annotation", "category", "code"),
    [
        ({"bbox": [1, 2, 3]}, {}, "not_a_box"),
        ({"bbox": [1, 2, 3, True]}, {}, "not_a_number"),
        ({"bbox": [1, 2, 0, 4]}, {}, "invalid_geometry"),
        ({"bbox": [1, 2, "nan", 4]}, {}, "not_a_number"),
        ({"bbox": {}}, {}, "geometry_missing"),
        ({"bbox": [1, 2, 3, 4], "category_id": 9}, {}, "unknown_category"),
        ({"bbox": [1, 2, 3, 4], "image_id": None}, {}, "unknown_image"),
        ({"bbox": [1, 2, 3, 4]}, {"name": "unicorn"}, "unknown_feature"),
        ({"bbox": [1, 2, 3, 4], "score": 2}, {}, "confidence_out_of_range"),
        ({"bbox": [1, 2, 3, 4], "attributes": {"colour": "mauve"}}, {}, "unknown_option"),
        ({"segmentation": [[1, 2, 3]]}, {"name": "A polygon"}, "odd_coordinates"),
        ({"segmentation": [[1, 2, 3, 4]]}, {"name": "A polygon"}, "invalid_geometry"),
        ({"segmentation": {"size": [2, 2], "counts": [1, 1]}}, {"name": "A mask"}, "not_a_mask"),
        ({"segmentation": {"size": [9**9, 9**9], "counts": [1]}}, {"name": "A mask"}, "not_a_mask"),
        ({"segmentation": {"size": [2, 2], "counts": "zzz"}}, {"name": "A mask"}, "invalid_geometry"),
        ({"keypoints": [1, 2, 7]}, {"name": "A point", "keypoints": ["nose"]}, "not_a_visibility"),
        ({"bbox": [1, 2, 3, 4]}, {"name": "A polyline"}, "kind_not_held"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_named(
    annotation: dict[str, Any], category: dict[str, Any], code: str
) -> None:
    (refusal,) = take(COCO, _document(annotation, **category), [ROW]).refusals
    assert (refusal.place, refusal.error.code, refusal.id) == ("/annotations/0", code, "7")


def test_a_mask_of_another_size_is_refused() -> None:
    runs = {"size": [2, 2], "counts": [1, 3]}
    (refusal,) = take(COCO, _document({"segmentation": runs}, name="A mask"), [ROW]).refusals
    assert refusal.error.code == "size_differs"


def test_a_row_of_unknown_size_can_leave() -> None:
    row = RowFacts(ROW.id, "unread.jpg")
    content, _ = write(COCO, [LabelledRow(row, [label("A point", Point(x=1, y=2))])])
    assert json.loads(content)["images"][0]["width"] is None
