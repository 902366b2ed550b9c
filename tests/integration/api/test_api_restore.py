"""Prelabel's own format is complete: what left a project comes back into another one, decisions and all."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import pytest

from services.api.access.principal import Role
from tests.integration.api.desk import BOX
from tests.integration.api.imports import box, imported, lines
from tests.integration.api.restored import exported, plain, undoing
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def _decide(stage: Stage, place: int, *decisions: dict[str, Any], **more: Any) -> dict[str, Any]:
    path = f"/v1/data-rows/{stage.rows[place]}"
    revision = (await stage.get(f"{path}/review"))["revision"]
    answer = await stage.api.as_(stage.workspace, Role.LABELER).post(
        f"{path}/decisions", json={"decisions": decisions, **more}, headers={"If-Match": f'"{revision}"'}
    )
    assert answer.status_code == 201, answer.text
    review: dict[str, Any] = answer.json()
    return review


async def _restored(stage: Stage, content: bytes) -> dict[str, Any]:
    _, ended = await imported(stage, "labels", content, format="prelabel")
    assert ended["state"] == "succeeded", ended
    result: dict[str, Any] = ended["result"]
    return result


def _numbers(result: Mapping[str, Any]) -> tuple[int, int]:
    return result["created"], result["failed"]


async def _reviewed(api: Api, workspace: Workspace) -> tuple[Stage, UUID]:
    """Every action is in it, on labels of a run, by hand and of an import; one data row is submitted."""
    stage = await make_stage(api, workspace)
    run_id = await stage.finished({0: [("person", 0.9), ("person", 0.8), ("person", 0.7)], 1: [("person", 0.6)]})
    shown: dict[str, list[str]] = {}
    for one in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"):
        shown.setdefault(one["data_row_id"], []).append(one["id"])
    first, second, third = shown[str(stage.rows[0])]
    (other,) = shown[str(stage.rows[1])]
    pose, sits = stage.features["Person/pose"], stage.features["Person/pose/sits"]
    answers = [{"feature_schema_id": pose, "annotation": {"kind": "radio", "option_id": sits}}]
    await _decide(
        stage,
        0,
        {"action": "accept", "pre_label_id": first},
        {"action": "edit", "pre_label_id": second, "annotation": BOX, "classifications": answers},
        {"action": "reject", "pre_label_id": third},
        seconds=4.5,
    )
    review = await _decide(
        stage, 0, {"action": "add", "feature_schema_id": stage.features["Person"], "annotation": BOX}
    )
    labels = [one["id"] for one in review["labels"]]
    await _decide(
        stage,
        0,
        {"action": "edit", "label_id": labels[0], "annotation": BOX},
        {"action": "delete", "label_id": labels[2]},
    )
    review = await _decide(stage, 1, {"action": "accept", "pre_label_id": other}, submit=True, seconds=2)
    await imported(stage, "labels", lines([box("002.jpg", "Person", uuid="of others"), box("002.jpg", "Person")]))
    (label, _) = (await stage.get(f"/v1/data-rows/{stage.rows[2]}/review"))["labels"]
    review = await _decide(stage, 2, {"action": "delete", "label_id": label["id"]})
    await _decide(stage, 2, {"action": "undo", "decision_id": review["decisions"][0]["id"]})
    review = await _decide(stage, 2, {"action": "edit", "label_id": label["id"], "annotation": BOX})
    return stage, run_id


async def test_a_reviewed_project_comes_back_whole(api: Api, workspace: Workspace) -> None:
    here, _ = await _reviewed(api, workspace)
    there = await make_stage(api, await api.workspace())
    content = await exported(here)
    result = await _restored(there, content)
    assert (result["failed"], result["losses"]) == (0, [])
    assert result["decisions"]["left_out"] == 0
    again = await exported(there)
    assert plain(again) == plain(content)
    review = await there.get(f"/v1/data-rows/{there.rows[1]}/review")
    assert (review["state"], review["origin"]["seconds"]) == ("submitted", 2)
    assert {one["origin"]["decided_by"] for one in review["decisions"]} != {review["submitted_by"]}

    result = await _restored(there, content)
    assert (result["created"], result["conflict"], result["failed"]) == (0, 0, 0)
    assert result["decisions"]["created"] == result["decisions"]["left_out"] == 0
    assert await exported(there) == again
    # And on from there, into a third.
    third = await make_stage(api, workspace)
    await _restored(third, again)
    assert plain(await exported(third)) == plain(content)


async def test_restored_decisions_can_be_taken_back_one_by_one(api: Api, workspace: Workspace) -> None:
    here, _ = await _reviewed(api, workspace)
    there = await make_stage(api, workspace)
    await _restored(there, await exported(here))
    for place in (0, 2):
        ours = [review["labels"] async for review in undoing(here, place)]
        theirs = [review["labels"] async for review in undoing(there, place)]
        assert [_said(labels) for labels in theirs] == [_said(labels) for labels in ours]


def _said(labels: list[Any]) -> list[Any]:
    return sorted(str(one["annotation"]) for one in labels)


async def test_what_people_decided_here_stays_and_nothing_comes_beside_it(api: Api, workspace: Workspace) -> None:
    here, _ = await _reviewed(api, workspace)
    there = await make_stage(api, workspace)
    await _decide(there, 0, {"action": "add", "feature_schema_id": there.features["Person"], "annotation": BOX})
    before = (await there.get(f"/v1/data-rows/{there.rows[0]}/review"))["decisions"]
    result = await _restored(there, await exported(here))
    assert {one["code"] for one in result["losses"]} == {"decided_here"}
    assert result["decisions"]["left_out"] == 6
    after = await there.get(f"/v1/data-rows/{there.rows[0]}/review")
    assert after["decisions"] == before
    assert (await there.get(f"/v1/data-rows/{there.rows[1]}/review"))["state"] == "submitted"


async def test_a_history_that_does_not_fit_stays_out_whole(api: Api, workspace: Workspace) -> None:
    here, _ = await _reviewed(api, workspace)
    content = await exported(here)
    items = [orjson.loads(one) for one in content.splitlines()]
    for item in items:
        if item.get("data_row", {}).get("global_key") == "000.jpg":
            item["labels"] = item["labels"][1:]
    there = await make_stage(api, workspace)
    result = await _restored(there, b"\n".join(map(orjson.dumps, items)))
    assert {one["code"] for one in result["losses"]} == {"history_does_not_fit"}
    review = await there.get(f"/v1/data-rows/{there.rows[0]}/review")
    assert (review["decisions"], len(review["labels"])) == ([], 1)


async def test_measures_count_nothing_that_was_decided_elsewhere(api: Api, workspace: Workspace) -> None:
    here, _ = await _reviewed(api, workspace)
    there = await make_stage(api, workspace)
    run_id = await there.finished({1: [("person", 0.6)]})
    before = await there.get(f"/v1/model-runs/{run_id}/metrics")
    await _restored(there, await exported(here))
    assert await there.get(f"/v1/model-runs/{run_id}/metrics") == before


async def test_a_reopened_review_is_this_projects_own(api: Api, workspace: Workspace) -> None:
    here, _ = await _reviewed(api, workspace)
    there = await make_stage(api, workspace)
    await _restored(there, await exported(here))
    path = f"/v1/data-rows/{there.rows[1]}/review"
    review = await there.get(path)
    answer = await there.client.post(f"{path}/reopen", json={}, headers={"If-Match": f'"{review["revision"]}"'})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["origin"]) == ("open", None)
