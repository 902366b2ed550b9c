"""The chapter on photographs: boxes, outlines, answers and texts read in them; one broken file among the input."""

from pathlib import Path

from deploy.local.demo import show
from deploy.local.demo.attempt import Choice, Desk, run_model
from deploy.local.demo.client import Gateway, Json
from deploy.local.demo.photographs import BROKEN, photographs
from deploy.local.demo.pictures import draw

ONTOLOGY: Json = {
    "tools": [
        *(
            {"type": "bounding_box", "name": name}
            for name in ("Person", "Cat", "Cup", "Dining Table", "Potted Plant", "Spoon", "Airplane", "Boat")
        ),
        {"type": "polygon", "name": "Human"},
        {
            "type": "bounding_box",
            "name": "Text",
            "classifications": [{"type": "free_text", "name": "Transcription"}],
        },
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
_CHOICES = (
    Choice("object_detection", 0.5),
    Choice("semantic_segmentation", 0.9, instead={"person": "Human"}),
    Choice("image_classification", 0.35),
    Choice("text_reading", 0.7),
)


class Unexpected(RuntimeError):
    """The main job did not end as it must."""


async def set_up(gateway: Gateway, folder: Path) -> Json:
    show.step("A project with an ontology")
    wanted = {"name": "Photographs", "media_type": "image", "ontology": ONTOLOGY}
    project = await gateway.post("/v1/projects", wanted)
    path = f"/v1/projects/{project['id']}"
    show.readiness(await gateway.get(f"{path}/readiness"))
    show.step("Photographs as data rows, and a batch of them")
    imported = await gateway.upload(f"{path}/data-rows/upload", list(photographs(folder)))
    batch = await gateway.post(f"{path}/batches", {"name": "All photographs", "all": True})
    show.console.print(f"{imported['created']} data rows imported, {batch['size']} in the batch; one of them is broken")
    show.readiness(await gateway.get(f"{path}/readiness"))
    return project


async def label(desk: Desk) -> list[Json]:
    """The runs, one for each choice."""
    show.step("The catalog, ranked for this project")
    ranked = [entry async for entry in desk.gateway.pages(f"{desk.path}/models")]
    show.models(ranked)
    runs = []
    for choice in _CHOICES:
        model = next(entry for entry in ranked if entry["task"] == choice.task)
        runs.append(await run_model(desk, model, choice))
    return runs


async def look(gateway: Gateway, runs: list[Json]) -> list[Json]:
    """A table of results. Raises Unexpected unless exactly the broken row failed, in every run."""
    found: list[Json] = []
    for run in runs:
        pre_labels = [one async for one in gateway.pages(f"/v1/model-runs/{run['id']}/pre-labels")]
        failed = [one async for one in gateway.pages(f"/v1/model-runs/{run['id']}/outcomes", state="failed")]
        show.step(f"Results of {run['name']}")
        show.results(pre_labels, failed)
        if [one["global_key"] for one in failed] != [BROKEN]:
            raise Unexpected(f"{BROKEN} should be the one row that failed")
        found += pre_labels
    return found


async def draw_all(gateway: Gateway, path: str, pre_labels: list[Json], folder: Path, target: Path) -> None:
    originals, drawn = _names(folder), 0
    async for row in gateway.pages(f"{path}/data-rows"):
        if row["global_key"] in originals:
            content = await gateway.content(row["id"])
            shown = [one for one in pre_labels if one["data_row_id"] == row["id"]]
            draw(content, shown, target / f"{Path(row['global_key']).stem}.png")
            drawn += 1
    show.console.print(f"\n{drawn} pictures with their pre-labels: {target}")


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


async def decide(gateway: Gateway, path: str, pre_labels: list[Json]) -> None:
    """Accept the surest box, reject the least sure one."""
    boxes = [one for one in pre_labels if one["annotation"]["kind"] == "bounding_box"]
    boxes.sort(key=lambda one: float(one["confidence"]))
    show.step("Review: the surest box is accepted, the least sure one rejected")
    for pre_label, action in ((boxes[-1], "accept"), (boxes[0], "reject")):
        row = f"/v1/data-rows/{pre_label['data_row_id']}"
        etag = await gateway.etag(f"{row}/review")
        decisions = {"decisions": [{"pre_label_id": pre_label["id"], "action": action}]}
        await gateway.post(f"{row}/decisions", decisions, {"If-Match": etag})
        show.console.print(
            f"{action}: {show.caption(pre_label)} {pre_label['confidence']:.2f} on {pre_label['global_key']}"
        )
    async for label in gateway.pages(f"{path}/labels"):
        source = label["provenance"]
        show.console.print(
            f"a label, from {source['model']['name']} {source['model']['version']}, class {source['model_class']!r} at "
            f"{source['confidence']:.2f}, threshold {source['threshold']}, alignment {source['alignment_version']}"
        )
