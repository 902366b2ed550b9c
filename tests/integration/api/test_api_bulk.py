"""Deciding in bulk, and taking it back: what it touches, what it passes over, and who may."""

from typing import Any
from uuid import UUID

import pytest

from services.api.access.principal import Role
from services.api.worker import OPERATIONS
from tests.integration.api.desk import BOX, Desk, errors
from tests.integration.api.stage import Stage, make_stage
from tests.integration.api.test_api_realign import ledger, realign, shown
from tests.support.api import Api, Workspace
from tests.support.operations import operating, until_state

pytestmark = pytest.mark.asyncio

SAID = {
    0: [("person", 0.9), ("cat", 0.95)],
    1: [("person", 0.85), ("person", 0.5)],
    2: [("person", 0.8)],
    3: [("person", 0.99)],
    4: [("cat", 0.9)],
}


async def make_desk(api: Api, workspace: Workspace) -> Desk:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)
    return Desk(stage, run_id, await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"))


def bulk(desk: Desk, action: str = "accept", **more: Any) -> dict[str, Any]:
    return {"action": action, "model_run_id": str(desk.run_id), **more}


async def done(stage: Stage, path: str, body: Any = None) -> Any:
    """The operation, once it has ended."""
    resources = stage.api.resources
    answer = await stage.client.post(f"/v1/projects/{stage.project}/decisions/bulk{path}", json=body)
    assert answer.status_code == 202, answer.text
    operation_id = UUID(answer.headers["location"].rpartition("/")[2])
    async with operating(resources.sessions, resources.signals, OPERATIONS):
        await until_state(resources.sessions, operation_id, "succeeded", "failed")
    return await stage.get(f"/v1/operations/{operation_id}")


async def told(stage: Stage, kind: str) -> list[Any]:
    events = (await stage.get(f"/v1/projects/{stage.project}/events", limit=1000))["items"]
    return [one["event"]["data"] for one in events if one["event"]["type"] == kind]


async def test_a_dry_run_counts_and_the_bulk_does_just_that(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    stage = desk.stage
    wanted = bulk(desk, model_class="person", confidence_min=0.8)
    path = f"/v1/projects/{stage.project}/decisions/bulk"
    dry = await stage.client.post(path, json={**wanted, "dry_run": True})
    assert (dry.status_code, dry.json()) == (200, {"pre_labels": 4, "data_rows": 4, "skipped": {}})
    assert await stage.pages(f"/v1/projects/{stage.project}/labels") == []
    ended = await done(stage, "", wanted)
    assert ended["result"] == {"action": "accept", "dry_run": False, "pre_labels": 4, "data_rows": 4, "skipped": {}}
    assert (ended["progress"]["done"], ended["progress"]["total"]) == (5, 5)
    labels = await stage.pages(f"/v1/projects/{stage.project}/labels")
    assert sorted(one["provenance"]["confidence"] for one in labels) == [0.8, 0.85, 0.9, 0.99]
    assert {one["provenance"]["decided_by"] for one in labels} == {str(workspace.members[Role.ADMIN])}
    person = (await ledger(stage, desk.run_id))["person"]
    assert (person["accepted"], person["pending"]) == (4, 1)
    assert await told(stage, "data_row.decided") == []
    (event,) = await told(stage, "decisions.bulk_decided")
    assert (event["accepted"], event["rejected"], event["data_rows"]) == (4, 0, 4)
    review = await desk.review()
    assert (review["revision"], review["decisions"][0]["operation_id"]) == (1, ended["id"])
    rejected = await done(stage, "", bulk(desk, "reject", feature_schema_id=stage.features["Cats"]))
    assert rejected["result"]["pre_labels"] == 2
    assert [one[3] for one in await shown(stage, desk.run_id)].count("rejected") == 2


async def test_what_people_hold_or_have_done_is_passed_over(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    stage = desk.stage
    labeler = api.as_(workspace, Role.LABELER)
    assert (await labeler.put(f"/v1/data-rows/{stage.rows[1]}/reservation", json={})).status_code == 200
    other = Desk(stage, desk.run_id, desk.pre_labels, row=2)
    assert (await other.send("review/submit", {})).status_code == 200
    await desk.decided({"action": "reject", "pre_label_id": desk.ids[0]})
    resources = api.resources
    answer = await stage.client.post(f"/v1/projects/{stage.project}/decisions/bulk", json=bulk(desk))
    # Somebody works on a data row after the bulk was asked for, and before it is done.
    late = Desk(stage, desk.run_id, desk.pre_labels, row=3)
    await late.decided({"action": "add", "feature_schema_id": stage.features["Person"], "annotation": BOX})
    async with operating(resources.sessions, resources.signals, OPERATIONS):
        ended = await until_state(resources.sessions, UUID(answer.json()["id"]), "succeeded", "failed")
    assert ended.result == {
        "action": "accept",
        "dry_run": False,
        "pre_labels": 2,
        "data_rows": 2,
        "skipped": {"reserved": 1, "submitted": 1, "changed": 1},
    }
    by_state: dict[str, int] = {}
    for _, _, _, state in await shown(stage, desk.run_id):
        by_state[state] = by_state.get(state, 0) + 1
    assert by_state == {"accepted": 2, "rejected": 1, "pending": 4}


async def test_an_undo_takes_back_what_nobody_has_changed(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    stage = desk.stage
    ended = await done(stage, "", bulk(desk))
    labels = (await desk.review())["labels"]
    await desk.decided({"action": "edit", "label_id": labels[0]["id"], "annotation": BOX})
    assert (await realign(stage, desk.run_id, {"threshold": 0.92})).status_code == 200
    undone = await done(stage, f"/{ended['id']}/undo")
    assert undone["result"] == {"operation_id": ended["id"], "undone": 6, "kept": 1}
    left = await stage.pages(f"/v1/projects/{stage.project}/labels")
    assert [one["id"] for one in left] == [labels[0]["id"]]
    assert await shown(stage, desk.run_id) == [
        ("Person", "person", 0.9, "edited"),
        ("Cats", "cat", 0.95, "pending"),
        ("Person", "person", 0.99, "pending"),
    ]
    await ledger(stage, desk.run_id)
    (event,) = await told(stage, "decisions.bulk_undone")
    assert (event["operation_id"], event["undone"], event["kept"]) == (ended["id"], 6, 1)
    again = await done(stage, f"/{ended['id']}/undo")
    assert again["result"] == {"operation_id": ended["id"], "undone": 0, "kept": 7}


async def test_one_answer_a_radio_also_in_bulk(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    entries = (stage.entry("indoors", "scene", "Indoors"), stage.entry("outdoor", "scene", "Outdoors"))
    said = {0: [("indoors", 0.9)], 1: [("outdoor", 0.8)]}
    runs = [await stage.finished(said, *entries, model_id=stage.classifier) for _ in range(2)]
    results = [(await done(stage, "", bulk(Desk(stage, run_id, []))))["result"] for run_id in runs]
    assert [(one["pre_labels"], one["skipped"]) for one in results] == [(2, {}), (0, {"conflict": 2})]


async def test_who_may_and_what_is_refused(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    desk = await make_desk(api, workspace)
    stage = desk.stage
    path = f"/v1/projects/{stage.project}/decisions/bulk"
    assert (await api.as_(workspace, Role.LABELER).post(path, json=bulk(desk))).status_code == 403
    assert (await api.as_(elsewhere).post(path, json=bulk(desk))).status_code == 404
    unknown = await stage.client.post(path, json={**bulk(desk), "model_run_id": stage.project})
    assert errors(unknown, 422) == {"/model_run_id": "unknown_model_run"}
    upside_down = await stage.client.post(path, json=bulk(desk, confidence_min=0.9, confidence_max=0.1))
    assert upside_down.status_code == 422
    open_run = await stage.submit()
    refused = await stage.client.post(path, json={**bulk(desk), "model_run_id": str(open_run)})
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_ended")
    started = await stage.client.post(path, json=bulk(desk))
    early = await stage.client.post(f"{path}/{started.json()['id']}/undo")
    assert (early.status_code, early.json()["code"]) == (409, "operation_not_ended")
    assert (await api.as_(elsewhere).post(f"{path}/{started.json()['id']}/undo")).status_code == 404
    # The run is undone before a worker comes to it: nothing is decided, and the operation says why.
    assert (await stage.client.delete(f"/v1/model-runs/{desk.run_id}/pre-labels")).status_code == 200
    resources = api.resources
    async with operating(resources.sessions, resources.signals, OPERATIONS):
        ended = await until_state(resources.sessions, UUID(started.json()["id"]), "succeeded", "failed")
    assert (ended.state, (ended.problem or {})["code"]) == ("failed", "run_changed")
    assert (await stage.client.post(path, json=bulk(desk))).json()["code"] == "run_undone"
