"""`python pycocotools_reader.py annotations.json [results.json]`: what pycocotools sees."""

import contextlib
import io
import json
import sys
from typing import Any

from pycocotools.coco import COCO


def seen(annotations: str, results: str | None) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(annotations)
        said = truth.loadRes(results) if results else truth
    return {
        "categories": {category["id"]: category["name"] for category in truth.loadCats(truth.getCatIds())},
        "images": {image["file_name"]: [image["width"], image["height"]] for image in truth.imgs.values()},
        "annotations": [_annotation(said, one) for one in said.anns.values()],
    }


def _annotation(said: COCO, one: dict[str, Any]) -> dict[str, Any]:
    found = {name: one.get(name) for name in ("bbox", "area", "iscrowd", "score", "keypoints", "num_keypoints")}
    found["file_name"] = said.imgs[one["image_id"]]["file_name"]
    found["category"] = said.cats[one["category_id"]]["name"]
    if one.get("segmentation"):
        pixels = said.annToMask(one)
        rows, columns = pixels.nonzero()
        found["pixels"] = sorted(zip(columns.tolist(), rows.tolist(), strict=True))
    return found


if __name__ == "__main__":
    json.dump(seen(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None), sys.stdout)
