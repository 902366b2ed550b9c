"""The formats' own libraries open what was exported and see the same (`make .venv-formats/.installed`)."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.api.exchange.formats import FORMATS
from services.api.exchange.formats.label_studio_config import configuration
from services.api.exchange.geometry.rasters import rasterised
from services.api.exchange.rows import LabelledRow, LabelRecord, What
from shared.annotations import (
    BoundingBox,
    Keypoint,
    Keypoints,
    Mask,
    Point,
    Polygon,
    PolygonPart,
    Polyline,
    TextEntity,
)
from shared.bitmaps import Bitmap, bitmap_of, mask_of
from shared.preprocessing import MediaType
from tests.support.format_libraries import seen_by
from tests.support.labelled_rows import HEIGHT, TEXT, WIDTH, label_records, row_facts, vocabulary_of, write
from tests.support.uploads import label

ROW = row_facts("image")
BOX = BoundingBox(left=10.5, top=4, width=20, height=10)
TURNED = BOX.model_copy(update={"rotation": 30.0})
SHAPE = Polygon(
    parts=(
        PolygonPart(exterior=((2, 2), (22, 2), (22, 17), (2, 17))),
        PolygonPart(exterior=((40, 20), (60, 20), (50, 40))),
    )
)
WITH_HOLE = Polygon(
    parts=(
        PolygonPart(exterior=((5, 5), (35, 5), (35, 35), (5, 35)), holes=(((10, 10), (20, 10), (20, 25), (10, 25)),)),
    )
)


def _drawn() -> Mask:
    whole = np.zeros((HEIGHT, WIDTH), np.uint8)
    whole[3:9, 50:64] = 1  # up to the right edge
    whole[5, 55] = 0
    return mask_of(whole)


MASK = _drawn()


def _pixels(bitmap: Bitmap) -> list[list[int]]:
    rows, columns = bitmap.nonzero()
    return [list(place) for place in sorted(zip(columns.tolist(), rows.tolist(), strict=True))]


def test_pycocotools_sees_boxes_polygons_masks_and_keypoints(tmp_path: Path) -> None:
    face = Keypoints(points=(Keypoint(name="nose", x=3, y=4), Keypoint(name="ear", x=9, y=6, visibility=1)))
    records = [
        label("A bounding_box", BOX),
        label("A bounding_box", TURNED),
        label("A polygon", SHAPE),
        label("A polygon", WITH_HOLE),
        label("A mask", MASK, extras={"coco": {"iscrowd": 1}}),
        label("A point", Point(x=1.5, y=2.5)),
        label("A point", face),
    ]
    (tmp_path / "annotations.json").write_bytes(write(FORMATS["coco"], [LabelledRow(ROW, records)])[0])
    seen = seen_by("pycocotools", tmp_path / "annotations.json")
    assert seen["images"] == {ROW.global_key: [WIDTH, HEIGHT]}
    assert list(seen["categories"].values()) == [f"A {name}" for name in ("bounding_box", "polygon", "polyline")] + [
        "A point",
        "A mask",
    ]
    box, turned, shape, with_hole, mask, point, keypoints = seen["annotations"]
    assert box["bbox"] == [10.5, 4, 20, 10]
    assert turned["bbox"] == pytest.approx([9.339746, -0.330127, 22.320508, 18.660254], abs=1e-5)
    assert shape["area"] == 20 * 15 + 200
    assert shape["pixels"] == _pixels(rasterised(SHAPE, HEIGHT, WIDTH))
    assert with_hole["pixels"] == _pixels(rasterised(WITH_HOLE, HEIGHT, WIDTH))
    assert [15, 15] not in with_hole["pixels"]
    assert (mask["pixels"], mask["iscrowd"], mask["bbox"]) == (_pixels(bitmap_of(MASK)), 1, [50, 3, 14, 6])
    assert point["keypoints"] == [1.5, 2.5, 2, 0, 0, 0, 0, 0, 0]
    assert keypoints["keypoints"] == [0, 0, 0, 3, 4, 2, 9, 6, 1]


def test_pycocotools_loads_results_beside_the_annotations_of_another_export(tmp_path: Path) -> None:
    record = label("A bounding_box", BOX, confidence=0.25)
    row = LabelledRow(ROW, [record])
    truth, _ = write(FORMATS["coco"], [LabelledRow(row_facts("image", "other.jpg"), []), row])
    results, _ = write(FORMATS["coco"], [row], "pre_labels", layout="results")
    (tmp_path / "truth.json").write_bytes(truth)
    (tmp_path / "results.json").write_bytes(results)
    (said,) = seen_by("pycocotools", tmp_path / "truth.json", tmp_path / "results.json")["annotations"]
    assert (said["file_name"], said["category"], said["score"]) == (ROW.global_key, "A bounding_box", 0.25)
    assert said["bbox"] == [10.5, 4, 20, 10]
    assert json.loads(results)[0]["score"] == 0.25


def _label_studio(folder: Path, media_type: MediaType, what: What, records: Sequence[LabelRecord]) -> dict[str, Any]:
    (folder / "config.xml").write_text(configuration(vocabulary_of(media_type), media_type))
    content, _ = write(FORMATS["label_studio"], [LabelledRow(row_facts(media_type), records)], what)
    (folder / "tasks.json").write_bytes(content)
    seen: dict[str, Any] = seen_by("label_studio", folder / "config.xml", folder / "tasks.json")
    return {**seen, "tasks": json.loads(content)}


@pytest.mark.parametrize("what", ["labels", "pre_labels"])
def test_label_studio_finds_nothing_wrong_with_tasks_of_its_configuration(tmp_path: Path, what: What) -> None:
    answered = [
        _example(label_records("image", kind, confident=what == "pre_labels"))
        for kind in ("bounding_box", "polygon", "radio", "checklist", "free_text")
    ]
    records = [
        *answered,
        label("A bounding_box", BOX),
        label("A bounding_box", TURNED),
        label("A polygon", SHAPE),
        label("A polyline", Polyline(points=((1, 2), (30, 4), (5, 6)))),
        label("A point", Point(x=1.5, y=2.5)),
        label("A mask", MASK),
    ]
    seen = _label_studio(tmp_path, "image", what, records)
    assert seen["problems"] == []
    assert seen["brushes"] == [_pixels(bitmap_of(MASK))]
    regions = seen["tasks"][0]["annotations" if what == "labels" else "predictions"][0]["result"]
    upright, turned = [one["value"] for one in regions if one["type"] == "rectanglelabels"][-2:]
    assert [upright[name] * WIDTH / 100 for name in ("x", "width")] == pytest.approx([10.5, 20])
    assert [upright[name] * HEIGHT / 100 for name in ("y", "height")] == pytest.approx([4, 10])
    # The corner of the turned box, which it turns about: 20 x 10 around (20.5, 9), by 30 degrees.
    assert (turned["x"] * WIDTH / 100, turned["y"] * HEIGHT / 100) == pytest.approx((14.339746, -0.330127), abs=1e-5)
    assert turned["rotation"] == 30


def test_label_studio_finds_nothing_wrong_with_texts(tmp_path: Path) -> None:
    start = TEXT.index("Köln")
    entity = label("A text_entity", TextEntity(start=start, end=start + 4), "text")
    seen = _label_studio(tmp_path, "text", "labels", [entity])
    assert seen["problems"] == []
    (region,) = seen["tasks"][0]["annotations"][0]["result"]
    assert region["value"] == {"start": start, "end": start + 4, "text": "Köln", "labels": ["A text_entity"]}


def _example(records: st.SearchStrategy[LabelRecord]) -> LabelRecord:
    """The first of some that has answers, the same every time."""
    found: list[LabelRecord] = []

    @settings(max_examples=20, database=None, derandomize=True)
    @given(records)
    def draw(record: LabelRecord) -> None:
        found.append(record)

    draw()
    return max(found, key=lambda record: len(record.answers))


def _unpacked(content: bytes, folder: Path, *names: str) -> None:
    """With an empty picture for each row, which a YOLO folder has beside its labels."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    (folder / "images" / "train").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / "train" / name)


def test_datumaro_and_supervision_see_the_boxes_of_yolo(tmp_path: Path) -> None:
    rows = [
        LabelledRow(row_facts("image", "one.jpg"), [label("A bounding_box", BOX), label("A polygon", SHAPE)]),
        LabelledRow(row_facts("image", "two.jpg"), []),
    ]
    content, losses = write(FORMATS["yolo"], rows)
    assert [(one.about, one.code) for one in losses.listed()] == [("polygon", "only_bounds")]
    _unpacked(content, tmp_path, "one.jpg", "two.jpg")
    seen = seen_by("datumaro", tmp_path, "yolo")
    assert seen["labels"][:2] == ["A bounding_box", "A polygon"]
    assert seen["items"]["two"] == []
    box, bounds = seen["items"]["one"]
    assert (box["label"], box["bbox"]) == ("A bounding_box", pytest.approx([10.5, 4, 20, 10], abs=0.01))
    assert (bounds["label"], bounds["bbox"]) == ("A polygon", pytest.approx([2, 2, 58, 38], abs=0.01))


def test_supervision_sees_the_polygons_of_yolo(tmp_path: Path) -> None:
    row = LabelledRow(row_facts("image", "one.jpg"), [label("A polygon", SHAPE), label("A mask", MASK)])
    content, _ = write(FORMATS["yolo"], [row], layout="segmentation")
    _unpacked(content, tmp_path, "one.jpg")
    first, second, mask = seen_by("supervision", tmp_path)["items"]["one"]
    assert (first["label"], first["box"]) == ("A polygon", pytest.approx([2, 2, 22, 17], abs=0.01))
    # Its pixels are those of OpenCV, which draws the edge too.
    assert first["area"] == pytest.approx(21 * 16, abs=1)
    assert second["box"] == pytest.approx([40, 20, 60, 40], abs=0.01)
    assert (mask["label"], mask["box"]) == ("A mask", pytest.approx([50, 3, 64, 9], abs=0.01))


def test_datumaro_sees_what_cvat_has(tmp_path: Path) -> None:
    records = [
        label("A bounding_box", BOX, extras={"cvat": {"occluded": "1", "z_order": "3"}}),
        label("A bounding_box", TURNED),
        label("A polygon", Polygon(parts=SHAPE.parts[:1])),
        label("A polygon", WITH_HOLE),
        label("A polyline", Polyline(points=((1, 2), (30, 4), (5, 6)))),
        label("A point", Point(x=1.5, y=2.5)),
        label("A mask", MASK),
        _example(label_records("image", "radio")),
        _example(label_records("image", "bounding_box")),
    ]
    content, _ = write(FORMATS["cvat"], [LabelledRow(row_facts("image", "one.jpg"), records)])
    (tmp_path / "images").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "one.jpg")
    (tmp_path / "annotations.xml").write_bytes(content)
    seen = seen_by("datumaro", tmp_path, "cvat")
    box, turned, polygon, hole, line, point, mask, scene, answered = seen["items"]["one"]
    assert (box["label"], box["bbox"], box["attributes"]) == ("A bounding_box", [10.5, 4, 20, 10], {"occluded": True})
    assert turned["rotated"] == [20.5, 9, 20, 10, 30]
    assert polygon["points"] == [2, 2, 22, 2, 22, 17, 2, 17]
    assert hole["pixels"] == _pixels(rasterised(WITH_HOLE, HEIGHT, WIDTH))
    assert line["points"] == [1, 2, 30, 4, 5, 6]
    assert point["points"] == [1.5, 2.5]
    assert mask["pixels"] == _pixels(bitmap_of(MASK))
    assert scene["label"] == "Scene"
    assert scene["attributes"]["Scene"] in {"indoors", "outdoors"}
    assert set(answered["attributes"]) - {"occluded"}
