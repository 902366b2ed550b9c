"""`python supervision_reader.py folder`: what supervision sees in a YOLO folder, with masks."""

import json
import sys
from pathlib import Path
from typing import Any

from supervision import DetectionDataset


def seen(folder: Path) -> dict[str, Any]:
    data = DetectionDataset.from_yolo(
        images_directory_path=str(folder / "images" / "train"),
        annotations_directory_path=str(folder / "labels" / "train"),
        data_yaml_path=str(folder / "data.yaml"),
        force_masks=True,
    )
    items = {}
    for path, _, said in data:
        items[Path(path).stem] = [
            {"label": data.classes[label], "box": box.tolist(), "area": int(mask.sum())}
            for label, box, mask in zip(said.class_id, said.xyxy, said.mask, strict=True)
        ]
    return {"classes": data.classes, "items": items}


if __name__ == "__main__":
    json.dump(seen(Path(sys.argv[1])), sys.stdout)
