"""From the first POST to the last websocket event, on real photographs: what was found, not only that something was."""

import asyncio

import pytest

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json, Refused, subscribed
from tests.support.servers import PICTURES
from tests.support.stack import Frontend, set_up

ONTOLOGY: Json = {
    "tools": [{"type": "bounding_box", "name": name} for name in ("Person", "Cat")],
    "classifications": [
        {"type": "radio", "name": "Subject", "options": [{"name": "espresso"}, {"name": "Egyptian cat"}]}
    ],
}
BROKEN = "broken.jpg"


def _files() -> list[tuple[str, bytes]]:
    names = ("astronaut.png", "chelsea.png", "coffee.png", "grace_hopper.jpg")
    whole = (PICTURES / "china.jpg").read_bytes()
    return [*((name, (PICTURES / name).read_bytes()) for name in names), (BROKEN, whole[: len(whole) // 3])]


@pytest.fixture
async def frontend(gateway: Gateway) -> Frontend:
    return await set_up(gateway, ONTOLOGY, _files())


async def _ended(frontend: Frontend, stack: StackProcess, wanted: Json) -> tuple[Json, list[Json]]:
    """Submit and listen: the run, and every message from before the submit to the run's terminal event."""
    messages: list[Json] = []
    async with subscribed(frontend.gateway, stack.addresses.notifier_url, f"project:{frontend.project_id}") as channel:
        run = await frontend.gateway.post(f"{frontend.path}/model-runs", wanted)
        async with asyncio.timeout(60):
            async for message in channel:
                messages.append(message)
                kind = message.get("event", {}).get("type", "")
                if kind.startswith("model_run.completed"):
                    break
    return run, messages


async def test_the_main_job(frontend: Frontend, stack: StackProcess) -> None:
    detector = await frontend.model("object_detection")
    run, messages = await _ended(frontend, stack, await frontend.wanted(detector, 0.5))

    events = [message for message in messages if message["type"] == "event"]
    offsets = [message["offset"] for message in events]
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    assert [message["event"]["type"] for message in events] == [
        "model_run.queued",
        "model_run.started",
        "model_run.completed_with_errors",
    ]
    last = events[-1]["event"]["data"]
    assert (last["total"], last["succeeded"], last["failed"]) == (5, 4, 1)

    path = f"/v1/model-runs/{run['id']}"
    failed = [one async for one in frontend.gateway.pages(f"{path}/outcomes", state="failed")]
    assert [(one["global_key"], one["stage"], one["code"]) for one in failed] == [
        (BROKEN, "decode", "undecodable_image")
    ]
    pre_labels = [one async for one in frontend.gateway.pages(f"{path}/pre-labels")]
    found = {(one["global_key"], one["feature_name"]) for one in pre_labels}
    assert {("astronaut.png", "Person"), ("chelsea.png", "Cat"), ("grace_hopper.jpg", "Person")} <= found
    assert ("chelsea.png", "Person") not in found
    assert all(one["confidence"] >= 0.5 for one in pre_labels)
    cat = next(one for one in pre_labels if one["feature_name"] == "Cat")["annotation"]
    # The cat's head fills the middle of the 451 x 300 picture.
    assert cat["left"] < 200
    assert cat["left"] + cat["width"] > 300


async def test_a_classifier_answers_the_radio(frontend: Frontend, stack: StackProcess) -> None:
    classifier = await frontend.model("image_classification")
    run, _ = await _ended(frontend, stack, await frontend.wanted(classifier, 0.1))
    answers = {
        one["global_key"]: one["option_name"]
        async for one in frontend.gateway.pages(f"/v1/model-runs/{run['id']}/pre-labels")
    }
    assert answers["coffee.png"] == "espresso"
    assert answers.get("chelsea.png") == "Egyptian cat"


async def test_decisions_make_labels_with_provenance(frontend: Frontend, stack: StackProcess) -> None:
    detector = await frontend.model("object_detection")
    run, _ = await _ended(frontend, stack, await frontend.wanted(detector, 0.5))
    pre_labels = [one async for one in frontend.gateway.pages(f"/v1/model-runs/{run['id']}/pre-labels")]
    cat = next(one for one in pre_labels if one["feature_name"] == "Cat")
    row = f"/v1/data-rows/{cat['data_row_id']}"
    decisions = {"decisions": [{"pre_label_id": cat["id"], "action": "accept"}]}
    with pytest.raises(Refused, match="428"):
        await frontend.gateway.post(f"{row}/decisions", decisions)
    etag = await frontend.gateway.etag(f"{row}/review")
    await frontend.gateway.post(f"{row}/decisions", decisions, {"If-Match": etag})
    with pytest.raises(Refused, match="412"):
        await frontend.gateway.post(f"{row}/decisions", decisions, {"If-Match": etag})
    labels = [one async for one in frontend.gateway.pages(f"{frontend.path}/labels")]
    assert len(labels) == 1
    assert labels[0]["annotation"] == cat["annotation"]
    assert labels[0]["provenance"]["model_class"] == "cat"
    assert labels[0]["provenance"]["confidence"] == cat["confidence"]


async def test_a_runs_alignment_can_be_sent_again(frontend: Frontend, stack: StackProcess) -> None:
    detector = await frontend.model("object_detection")
    first, _ = await _ended(frontend, stack, await frontend.wanted(detector, 0.5))
    entries = (await frontend.gateway.get(f"/v1/model-runs/{first['id']}"))["alignment"]
    again = {"model_id": detector["id"], "limit": 1, "alignment": {"entries": entries}}
    second = await frontend.gateway.post(f"{frontend.path}/model-runs", again)
    assert second["alignment"] == entries
