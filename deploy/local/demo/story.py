"""The main job, as a frontend would do it: set up, choose, align, try, run, look, decide."""

from dataclasses import dataclass
from pathlib import Path

from deploy.local.demo import show
from deploy.local.demo.client import Gateway, Json, subscribed
from deploy.local.demo.photographs import BROKEN, photographs
from deploy.local.demo.pictures import draw

_ONTOLOGY: Json = {
    "tools": [
        {"type": "bounding_box", "name": name}
        for name in ("Person", "Cat", "Cup", "Dining Table", "Potted Plant", "Spoon", "Airplane", "Boat")
    ],
    "classifications": [
        {
            "type": "radio",
            "name": "Subject",
            "options": [
                {"name": name} for name in ("espresso", "tabby", "tiger cat", "Egyptian cat", "missile", "daisy")
            ],
        }
    ],
}
_SAMPLE_SIZE = 4
_THRESHOLD = 0.35


@dataclass(frozen=True)
class Setting:
    gateway: Gateway
    notifier_url: str
    photographs: Path
    target: Path


class Unexpected(RuntimeError):
    """The main job did not end as it must."""


async def tell(setting: Setting) -> None:
    gateway = setting.gateway
    project = await _set_up(setting)
    path = f"/v1/projects/{project['id']}"
    show.step("The catalog, ranked for this project")
    ranked = [entry async for entry in gateway.pages(f"{path}/models")]
    show.models(ranked)
    async with subscribed(gateway, setting.notifier_url, f"project:{project['id']}") as channel:
        runs = []
        for task in ("object_detection", "image_classification"):
            model = next(entry for entry in ranked if entry["task"] == task)
            wanted = await _aligned(gateway, path, model)
            show.step(f"{model['name']}: a small sample first, then everything")
            for name, extra in ((f"{model['name']}, sample", {"limit": _SAMPLE_SIZE}), (model["name"], {})):
                run = await gateway.post(f"{path}/model-runs", {**wanted, "name": name, **extra})
                await show.follow(channel, run)
            runs.append(run)
    pre_labels = await _look(setting, runs, project)
    await _decide(gateway, path, pre_labels)


async def _set_up(setting: Setting) -> Json:
    gateway = setting.gateway
    show.step("A project with an ontology")
    wanted = {"name": "Photographs", "media_type": "image", "ontology": _ONTOLOGY}
    project = await gateway.post("/v1/projects", wanted)
    path = f"/v1/projects/{project['id']}"
    show.readiness(await gateway.get(f"{path}/readiness"))
    show.step("Photographs as data rows, and a batch of them")
    files = list(photographs(setting.photographs))
    imported = await gateway.upload(f"{path}/data-rows/upload", files)
    batch = await gateway.post(f"{path}/batches", {"name": "All photographs", "all": True})
    show.console.print(f"{imported['created']} data rows imported, {batch['size']} in the batch; one of them is broken")
    show.readiness(await gateway.get(f"{path}/readiness"))
    return project


async def _aligned(gateway: Gateway, path: str, model: Json) -> Json:
    """A run's configuration, from the alignment that is suggested."""
    suggested = await gateway.get(f"{path}/models/{model['id']}/alignment")
    show.step(f"{model['name']}: suggested alignment")
    show.alignment(suggested["entries"])
    return {"model_id": model["id"], "threshold": _THRESHOLD, "alignment": {"entries": suggested["entries"]}}


async def _look(setting: Setting, runs: list[Json], project: Json) -> list[Json]:
    """Table and pictures. Raises Unexpected unless exactly the broken row failed, in every run."""
    gateway = setting.gateway
    found: list[Json] = []
    for run in runs:
        run_path = f"/v1/model-runs/{run['id']}"
        pre_labels = [one async for one in gateway.pages(f"{run_path}/pre-labels")]
        failed = [one async for one in gateway.pages(f"{run_path}/outcomes", state="failed")]
        show.step(f"Results of {run['name']}")
        show.results(pre_labels, failed)
        if [one["global_key"] for one in failed] != [BROKEN]:
            raise Unexpected(f"{BROKEN} should be the one row that failed")
        found += pre_labels
    await _draw(setting, project, found)
    return found


async def _draw(setting: Setting, project: Json, pre_labels: list[Json]) -> None:
    setting.target.mkdir(parents=True, exist_ok=True)
    originals = {path.name for path in setting.photographs.iterdir()}
    drawn = 0
    async for row in setting.gateway.pages(f"/v1/projects/{project['id']}/data-rows"):
        if row["global_key"] in originals:
            content = await setting.gateway.content(row["id"])
            shown = [one for one in pre_labels if one["data_row_id"] == row["id"]]
            draw(content, shown, setting.target / f"{Path(row['global_key']).stem}.png")
            drawn += 1
    show.console.print(f"\n{drawn} pictures with their pre-labels: {setting.target}")


async def _decide(gateway: Gateway, path: str, pre_labels: list[Json]) -> None:
    """Accept the surest box, reject the least sure one."""
    boxes = sorted((one for one in pre_labels if not one.get("option_name")), key=lambda one: one["confidence"])
    show.step("Review: the surest pre-label is accepted, the least sure one rejected")
    for pre_label, action in ((boxes[-1], "accept"), (boxes[0], "reject")):
        row = f"/v1/data-rows/{pre_label['data_row_id']}"
        etag = await gateway.etag(f"{row}/review")
        decisions = {"decisions": [{"pre_label_id": pre_label["id"], "action": action}]}
        await gateway.post(f"{row}/decisions", decisions, {"If-Match": etag})
        show.console.print(
            f"{action}: {show.caption(pre_label)} {pre_label['confidence']:.2f} on {pre_label['global_key']}"
        )
    labels = [label async for label in gateway.pages(f"{path}/labels")]
    for label in labels:
        source = label["provenance"]
        show.console.print(
            f"a label, from {source['model']['name']} {source['model']['version']}, class {source['model_class']!r} at "
            f"{source['confidence']:.2f}, threshold {source['threshold']}, alignment {source['alignment_version']}"
        )
