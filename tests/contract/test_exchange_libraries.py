"""The formats' own libraries open what was exported and see the same (`make .venv-formats/.installed`)."""

import json
from pathlib import Path

import numpy as np
import pytest

from services.api.exchange.formats import FORMATS
from services.api.exchange.geometry.rasters import rasterised
from services.api.exchange.masks import bitmap_of, mask_of
from services.api.exchange.rows import LabelledRow
from shared.annotations import BoundingBox, Keypoint, Keypoints, Mask, Point, Polygon, PolygonPart
from tests.support.format_libraries import seen_by
from tests.support.labelled_rows import HEIGHT, WIDTH, row_facts, write
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


def _pixels(bitmap: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> list[list[int]]:
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
