"""`python label_studio_reader.py config.xml tasks.json`: what Label Studio's SDK says of tasks of that set-up."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface


def seen(config: str, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    interface = LabelInterface(config)
    interface.validate()
    return {
        "controls": {control.name: control.tag for control in interface.controls},
        "problems": [problem for task in tasks for problem in _problems(interface, task)],
        "brushes": [
            _pixels(region)
            for task in tasks
            for said in (*task.get("annotations", ()), *task.get("predictions", ()))
            for region in said["result"]
            if region["type"] == "brushlabels"
        ],
    }


def _problems(interface: LabelInterface, task: dict[str, Any]) -> list[str]:
    found = [] if interface.validate_task({"data": task["data"]}) else ["the task does not fit the configuration"]
    for prediction in task.get("predictions", ()):
        found += interface.validate_prediction(prediction, return_errors=True)
    for annotation in task.get("annotations", ()):
        for place, region in enumerate(annotation["result"]):
            found += interface.validate_region(region, return_errors=True, region_index=place)
    return found


def _pixels(region: dict[str, Any]) -> list[tuple[int, int]]:
    shape = (region["original_height"], region["original_width"], 4)
    alpha = np.reshape(decode_rle(region["value"]["rle"]), shape)[:, :, 3]
    rows, columns = alpha.nonzero()
    return sorted(zip(columns.tolist(), rows.tolist(), strict=True))


if __name__ == "__main__":
    json.dump(seen(Path(sys.argv[1]).read_text(), json.loads(Path(sys.argv[2]).read_text())), sys.stdout)
