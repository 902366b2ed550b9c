"""`python datumaro_reader.py folder cvat|yolo|coco`: what Datumaro sees."""

import json
import sys
from typing import Any

from datumaro import AnnotationType, Dataset


def seen(folder: str, name: str) -> dict[str, Any]:
    dataset = Dataset.import_from(folder, name)
    labels = dataset.categories()[AnnotationType.label]
    names = [label.name for label in labels]
    items = {item.id: [_annotation(one, names) for one in item.annotations] for item in dataset}
    return {"labels": names, "items": items}


def _annotation(one: Any, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": one.type.name, "attributes": one.attributes}
    if one.label is not None:
        found["label"] = names[one.label]
    if one.type == AnnotationType.mask:
        rows, columns = one.image.nonzero()
        found["pixels"] = sorted(zip(columns.tolist(), rows.tolist(), strict=True))
    elif one.type == AnnotationType.bbox:
        found["bbox"] = [float(value) for value in one.get_bbox()]
    elif one.type == AnnotationType.rotated_bbox:
        found["rotated"] = [one.cx, one.cy, one.w, one.h, one.r]
    elif hasattr(one, "points"):
        found["points"] = [float(value) for value in one.points]
    return found


if __name__ == "__main__":
    json.dump(seen(sys.argv[1], sys.argv[2]), sys.stdout, default=str)
