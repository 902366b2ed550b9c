"""A model from its suggested alignment to the end of its run: align, preview, look, choose a threshold, submit."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy.local.demo import show
from deploy.local.demo.client import Channel, Gateway, Json

_SAMPLE_SIZE = 12


@dataclass(frozen=True)
class Desk:
    """A project, and the websocket that tells what happens in it."""

    gateway: Gateway
    channel: Channel
    path: str


@dataclass(frozen=True)
class Choice:
    """What is wanted of the best model for a task, and what of the suggestion is changed by hand."""

    task: str
    threshold: float
    instead: Mapping[str, str] = field(default_factory=dict)
    """The feature that a model class shall mean, by name, where the suggestion has another."""


async def run_model(desk: Desk, model: Json, choice: Choice) -> Json:
    """The run that was submitted from the preview, as it was before its first row."""
    suggested = await desk.gateway.get(f"{desk.path}/models/{model['id']}/alignment")
    show.step(f"{model['name']}: suggested alignment")
    show.alignment(suggested)
    entries = [await _changed(desk, entry, choice) for entry in suggested["entries"]]
    preview = await _preview(desk, model, entries, suggested["criteria"])
    version = await _move_threshold(desk, preview, choice.threshold)
    show.step(f"{model['name']}: the run")
    wanted = {"preview_id": preview["id"], "alignment_version": version, "name": model["name"]}
    run = await desk.gateway.post(f"{desk.path}/model-runs", wanted)
    await show.follow(desk.channel, run)
    return run


async def _changed(desk: Desk, entry: Json, choice: Choice) -> Json:
    name = choice.instead.get(entry["model_class"])
    if name is None:
        return entry
    show.console.print(f"by hand: {entry['model_class']} shall mean {name}")
    ontology = await desk.gateway.get(f"{desk.path}/ontology")
    tool = next(tool for tool in ontology["tools"] if tool["name"] == name)
    return {"model_class": entry["model_class"], "target": {"feature_schema_id": tool["id"]}}


async def _preview(desk: Desk, model: Json, entries: Sequence[Json], criteria: Json) -> Json:
    show.step(f"{model['name']}: a preview of {_SAMPLE_SIZE} data rows, drawn by a seed")
    wanted = {
        "model_id": model["id"],
        "alignment": {"entries": entries},
        "criteria": criteria,
        "sample": {"size": _SAMPLE_SIZE, "method": "random", "seed": 7},
    }
    preview = await desk.gateway.post(f"{desk.path}/previews", wanted)
    await show.follow(desk.channel, preview)
    show.sweep(await desk.gateway.get(f"/v1/previews/{preview['id']}/sweep"))
    return preview


async def _move_threshold(desk: Desk, preview: Json, threshold: float) -> int:
    """The preview's alignment version with this threshold; nothing is asked of the model again."""
    path = f"/v1/previews/{preview['id']}"
    etag = await desk.gateway.etag(path)
    began = time.monotonic()
    moved = await desk.gateway.patch(path, {"threshold": threshold}, etag)
    shown = sum(counts["shown"] for counts in (await desk.gateway.get(f"{path}/ledger"))["classes"])
    show.console.print(
        f"threshold {threshold}: {shown} of {moved['detections']} detections are shown,"
        f" after {(time.monotonic() - began) * 1000:.0f} ms and without another inference"
    )
    return int(moved["alignment_version"])
