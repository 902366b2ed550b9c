"""The chapter on texts: entities in them, and topics by criteria in plain words."""

from pathlib import Path

from deploy.local.demo import show
from deploy.local.demo.attempt import Choice, Desk, run_model
from deploy.local.demo.client import Gateway, Json

_ONTOLOGY: Json = {
    "tools": [{"type": "text_entity", "name": name} for name in ("Person", "Place", "Date", "Organization")],
    "classifications": [
        {
            "type": "checklist",
            "name": "Topic",
            "options": [{"name": name} for name in ("health", "sports", "wine", "nature", "computers")],
        }
    ],
}
_CHOICES = (Choice("named_entity_recognition", 0.6), Choice("zero_shot_classification", 0.5))
_MOST_TEXTS, _LONGEST_QUOTE = 8, 70


async def set_up(gateway: Gateway, folder: Path) -> Json:
    show.step("A second project, for texts")
    wanted = {"name": "Texts", "media_type": "text", "ontology": _ONTOLOGY}
    project = await gateway.post("/v1/projects", wanted)
    path = f"/v1/projects/{project['id']}"
    imported = await gateway.post(f"{path}/data-rows", {"items": _items(folder)})
    await gateway.post(f"{path}/batches", {"name": "All texts", "all": True})
    show.console.print(f"{imported['created']} texts imported")
    return project


def _items(folder: Path) -> list[Json]:
    return [{"global_key": file.name, "text": file.read_text(encoding="utf-8")} for file in sorted(folder.iterdir())]


async def label(desk: Desk) -> list[Json]:
    ranked = [entry async for entry in desk.gateway.pages(f"{desk.path}/models")]
    show.models([entry for entry in ranked if entry["media_type"] == "text"])
    runs = []
    for choice in _CHOICES:
        model = next(entry for entry in ranked if entry["task"] == choice.task)
        runs.append(await run_model(desk, model, choice))
    return runs


async def look(gateway: Gateway, runs: list[Json], folder: Path) -> None:
    found: dict[str, list[str]] = {}
    for run in runs:
        pre_labels = [one async for one in gateway.pages(f"/v1/model-runs/{run['id']}/pre-labels")]
        show.step(f"Results of {run['name']}")
        show.results(pre_labels, [])
        for one in pre_labels:
            found.setdefault(one["global_key"], []).append(_said(one, folder))
    show.step("Some of the texts, and what was found in them")
    for name in sorted(found, key=lambda name: (-len(found[name]), name))[:_MOST_TEXTS]:
        start = " ".join((folder / name).read_text(encoding="utf-8").split())[:_LONGEST_QUOTE]
        show.console.print(f"“{start}…”\n    {'; '.join(found[name])}", markup=False)


def _said(one: Json, folder: Path) -> str:
    if one["annotation"]["kind"] != "text_entity":
        return f"{show.caption(one)} {one['confidence']:.2f}"
    # Offsets are code points, as Python counts them.
    text = (folder / one["global_key"]).read_text(encoding="utf-8")
    words = text[one["annotation"]["start"] : one["annotation"]["end"]]
    return f"{one['feature_name']}: {' '.join(words.split())}"
