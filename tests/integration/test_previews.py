"""Previews on the whole stack: they say what the run will say, and no run holds them up."""

import asyncio
from typing import Any

import cv2
import numpy as np
import pytest

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json, subscribed
from tests.support.servers import PICTURES
from tests.support.stack import Frontend, inferences, set_up, until_ended

ONTOLOGY: Json = {
    "tools": [{"type": "bounding_box", "name": name} for name in ("Person", "Cat", "Cup")],
    "classifications": [
        {"type": "radio", "name": "Subject", "options": [{"name": "espresso"}, {"name": "Egyptian cat"}]}
    ],
}
# What differs between a preview and its run by nature.
_OWN = {"id", "model_run_id"}


def _photographs() -> list[tuple[str, bytes]]:
    names = ("astronaut.png", "chelsea.png", "coffee.png", "grace_hopper.jpg")
    broken = (PICTURES / "china.jpg").read_bytes()[:50_000]
    return [*((name, (PICTURES / name).read_bytes()) for name in names), ("broken.jpg", broken)]


def _noise(count: int) -> list[tuple[str, bytes]]:
    """Pictures of which no two are the same."""
    drawn = np.random.default_rng(7).integers(0, 255, (count, 48, 48, 3), np.uint8)
    return [(f"noise-{n:04}.png", cv2.imencode(".png", one)[1].tobytes()) for n, one in enumerate(drawn)]


async def _preview(frontend: Frontend, **wanted: Any) -> Json:
    made = await frontend.gateway.post(f"{frontend.path}/previews", wanted)
    return await until_ended(frontend.gateway, f"/v1/previews/{made['id']}")


async def _pre_labels(gateway: Gateway, path: str) -> list[Json]:
    found = [one async for one in gateway.pages(f"{path}/pre-labels")]
    return [{name: value for name, value in one.items() if name not in _OWN} for one in found]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("object_detection", {("chelsea.png", "Cat", None), ("astronaut.png", "Person", None)}),
        ("image_classification", {("coffee.png", "Subject", "espresso")}),
    ],
)
async def test_a_preview_shows_what_its_run_shows(
    gateway: Gateway, stack: StackProcess, task: str, expected: set[tuple[str, str, str | None]]
) -> None:
    frontend = await set_up(gateway, ONTOLOGY, _photographs())
    model = await frontend.model(task)
    preview = await _preview(frontend, model_id=model["id"], threshold=0.3)
    assert (preview["state"], preview["succeeded"], preview["failed"]) == ("completed_with_errors", 4, 1)
    path = f"/v1/previews/{preview['id']}"
    shown = await _pre_labels(gateway, path)
    assert expected <= {(one["global_key"], one["feature_name"], one["option_name"]) for one in shown}

    wanted = {"preview_id": preview["id"], "alignment_version": preview["alignment_version"], "reuse": False}
    run = await gateway.post(f"{frontend.path}/model-runs", wanted)
    ended = await until_ended(gateway, f"/v1/model-runs/{run['id']}")
    assert ended["alignment"] == preview["alignment"]
    assert (ended["state"], ended["detections"]) == (preview["state"], preview["detections"])
    assert await _pre_labels(gateway, f"/v1/model-runs/{run['id']}") == shown
    ledgers = [await gateway.get(f"{one}/ledger") for one in (path, f"/v1/model-runs/{run['id']}")]
    assert ledgers[0]["classes"] == ledgers[1]["classes"]
    failed = [one async for one in gateway.pages(f"{path}/outcomes", state="failed")]
    assert [(one["global_key"], one["code"]) for one in failed] == [("broken.jpg", "undecodable_image")]


async def test_another_threshold_asks_no_model(gateway: Gateway, stack: StackProcess) -> None:
    frontend = await set_up(gateway, ONTOLOGY, _photographs())
    model = await frontend.model("object_detection")
    one = await _preview(frontend, model_id=model["id"], threshold=0.3)
    other = await _preview(frontend, model_id=model["id"], threshold=0.6, sample={"preview_id": one["id"]})
    before, path = await inferences(stack), f"/v1/previews/{one['id']}"
    shown = [len(await _pre_labels(gateway, path))]
    for version, threshold in enumerate((0.1, 0.9), 1):
        changed = await gateway.patch(path, {"threshold": threshold}, f'"{version}"')
        assert changed["alignment_version"] == version + 1
        shown.append(len(await _pre_labels(gateway, path)))
    assert shown[1] > shown[0] > shown[2]
    swept = await gateway.get(f"{path}/sweep")
    assert [swept["shown"][place] for place in (10, 30, 90)] == [shown[1], shown[0], shown[2]]
    compared = await gateway.get("/v1/previews/compare", ids=f"{one['id']},{other['id']}")
    assert compared["data_rows"] == 4
    assert await inferences(stack) == before


async def test_a_preview_tells_its_followers(gateway: Gateway, stack: StackProcess) -> None:
    frontend = await set_up(gateway, ONTOLOGY, _noise(60))
    model = await frontend.model("object_detection")
    made = await gateway.post(f"{frontend.path}/previews", {"model_id": model["id"], "sample": {"size": 60}})
    messages = []
    async with subscribed(gateway, stack.addresses.notifier_url, f"preview:{made['id']}") as channel:
        async with asyncio.timeout(60):
            async for message in channel:
                messages.append(message)
                if message.get("event", {}).get("type") == "preview.completed":
                    break
    path = f"/v1/previews/{made['id']}"
    async with (
        subscribed(gateway, stack.addresses.notifier_url, f"project:{frontend.project_id}") as channel,
        asyncio.timeout(20),
    ):
        await gateway.patch(path, {"threshold": 0.9}, '"1"')
        async for message in channel:
            if message["type"] == "event":
                break
    assert message["event"]["type"] == "preview.realigned"
    assert message["event"]["data"]["alignment_version"] == 2
    progress = [message for message in messages if message["type"] == "progress"]
    assert progress
    assert {message["preview_id"] for message in progress} == {made["id"]}
    assert not any("model_run_id" in message for message in progress)
    events = [message["event"] for message in messages if message["type"] == "event"]
    assert {event["subject"]["id"] for event in events} == {made["id"]}
    assert events[-1]["data"]["succeeded"] == 60


async def test_a_busy_run_does_not_hold_up_a_preview(gateway: Gateway, stack: StackProcess) -> None:
    frontend = await set_up(gateway, ONTOLOGY, _noise(800))
    model = await frontend.model("object_detection")
    run = await gateway.post(f"{frontend.path}/model-runs", await frontend.wanted(model, 0.5))
    path = f"/v1/model-runs/{run['id']}"
    async with asyncio.timeout(60):
        while (before := await gateway.get(path))["done"] < 16:
            await asyncio.sleep(0.1)
    preview = await _preview(frontend, model_id=model["id"], sample={"size": 16, "seed": 1}, reuse=False)
    after = await gateway.get(path)
    assert (preview["state"], preview["succeeded"], after["state"]) == ("completed", 16, "running")
    # The run has up to 8 batches of 16 rows before Triton. In rows and not in seconds, so that a slow machine is fair.
    assert after["done"] - before["done"] <= 5 * 16, "the preview waited behind the batches of the run"
    await gateway.post(f"{path}/cancel", {})
