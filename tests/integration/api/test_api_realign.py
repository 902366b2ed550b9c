"""A run that has ended by another alignment: what is shown moves, what people decided stays, the ledger is exact."""

import asyncio
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select

from services.api.access.principal import Role
from services.api.model_runs.cancel import cancel_run
from services.api.projections.operation import KIND
from services.api.worker import OPERATIONS
from shared.database.tables import DecisionRow, ModelRunRow
from shared.database.unit_of_work import unit_of_work
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.operations import operating, until_state

pytestmark = pytest.mark.asyncio

SAID = {
    0: [("person", 0.9), ("person", 0.5), ("cat", 0.6), ("dog", 0.8)],
    1: [("person", 0.41), ("cat", 0.2)],
    2: [],
}


async def realign(stage: Stage, run_id: UUID, body: Any, version: int = 1, role: Role = Role.EDITOR) -> httpx2.Response:
    client = stage.api.as_(stage.workspace, role)
    return await client.patch(f"/v1/model-runs/{run_id}/alignment", json=body, headers={"If-Match": f'"{version}"'})


async def decide(stage: Stage, pre_label: Any, action: str) -> None:
    path = f"/v1/data-rows/{pre_label['data_row_id']}"
    revision = (await stage.client.get(f"{path}/review")).json()["revision"]
    decisions = {"decisions": [{"pre_label_id": pre_label["id"], "action": action}]}
    answer = await stage.client.post(f"{path}/decisions", json=decisions, headers={"If-Match": f'"{revision}"'})
    assert answer.status_code == 201, answer.text


async def shown(stage: Stage, run_id: UUID) -> list[tuple[str, str, float, str]]:
    found = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    return [(one["feature_name"], one["model_class"], one["confidence"], one["state"]) for one in found]


async def ledger(stage: Stage, run_id: UUID) -> dict[str, dict[str, Any]]:
    """By class, once it is seen to be exact."""
    classes = (await stage.get(f"/v1/model-runs/{run_id}/ledger"))["classes"]
    for one in classes:
        assert one["raw"] == one["shown"] + sum(one["dropped"].values()), one
        assert one["shown"] == one["pending"] + one["accepted"] + one["edited"] + one["rejected"], one
        assert all(count >= 0 for count in (one["pending"], *one["dropped"].values())), one
    return {one["model_class"]: one for one in classes}


async def decisions(stage: Stage) -> dict[UUID, Any]:
    async with stage.api.resources.sessions() as session:
        found = await session.scalars(select(DecisionRow).where(DecisionRow.project_id == UUID(stage.project)))
        return {row.id: (row.action, row.undone, row.shown) for row in found}


async def test_a_threshold_moves_and_everybody_sees_the_new_version(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)
    read = await stage.client.get(f"/v1/model-runs/{run_id}/alignment")
    assert (read.headers["etag"], read.json()["version"]) == ('"1"', 1)
    assert [one["feature_name"] for one in read.json()["entries"]] == ["Person", "Cats"]
    assert len(await shown(stage, run_id)) == 4

    answer = await realign(stage, run_id, {"threshold": 0.55})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"'), answer.text
    assert {one["threshold"] for one in answer.json()["entries"]} == {0.55}
    assert answer.json() == (await stage.client.get(f"/v1/model-runs/{run_id}/alignment")).json()
    assert await shown(stage, run_id) == [("Person", "person", 0.9, "pending"), ("Cats", "cat", 0.6, "pending")]
    found = await ledger(stage, run_id)
    assert found["person"]["dropped"] == {"below_threshold": 2}
    assert found["dog"]["dropped"] == {"unmapped": 1}
    assert (await stage.get(f"/v1/model-runs/{run_id}"))["alignment_version"] == 2

    events = (await stage.get(f"/v1/projects/{stage.project}/events"))["items"]
    of_run = [one["event"] for one in events if one["event"]["subject"]["id"] == str(run_id)]
    assert [one["type"] for one in of_run] == ["model_run.queued", "model_run.completed", "model_run.realigned"]
    assert of_run[-1]["data"]["alignment_version"] == 2

    # Back, by class and with other entries; one change for one cause.
    assert (await realign(stage, run_id, {"thresholds": {"person": 0.4}}, version=2)).status_code == 200
    assert [one[:2] for one in await shown(stage, run_id)] == [("Person", "person")] * 2 + [("Cats", "cat")] + [
        ("Person", "person")
    ]
    entries = [stage.entry("dog", "Person", threshold=0.3), stage.entry("cat", "Cats")]
    answer = await realign(stage, run_id, {"alignment": {"entries": entries}, "threshold": 0.1}, version=3)
    assert [one["threshold"] for one in answer.json()["entries"]] == [0.3, 0.1]
    assert sorted(await shown(stage, run_id)) == [
        ("Cats", "cat", 0.2, "pending"),
        ("Cats", "cat", 0.6, "pending"),
        ("Person", "dog", 0.8, "pending"),
    ]
    same = await realign(stage, run_id, {"threshold": None, "thresholds": {"cat": 0.1}}, version=4)
    assert (same.status_code, same.headers["etag"]) == (200, '"4"')


async def test_what_is_decided_stays_and_is_not_offered_again(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)
    by_class = {
        (one["model_class"], one["confidence"]): one for one in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    }
    await decide(stage, by_class["person", 0.5], "accept")
    await decide(stage, by_class["cat", 0.6], "reject")
    before = await decisions(stage)
    labels = (await stage.get(f"/v1/projects/{stage.project}/labels"))["items"]

    # The person is now too unsure, and cats are persons.
    entries = [stage.entry("person", "Person", threshold=0.8), stage.entry("cat", "Person", threshold=0.1)]
    assert (await realign(stage, run_id, {"alignment": {"entries": entries}})).status_code == 200
    assert await shown(stage, run_id) == [
        ("Person", "person", 0.9, "pending"),
        ("Person", "person", 0.5, "accepted"),
        ("Cats", "cat", 0.6, "rejected"),
        ("Person", "cat", 0.2, "pending"),
    ]
    found = await ledger(stage, run_id)
    person, cat = found["person"], found["cat"]
    assert (person["shown"], person["accepted"], person["dropped"]) == (2, 1, {"below_threshold": 1})
    assert (cat["shown"], cat["rejected"], cat["pending"]) == (2, 1, 1)

    # Nothing is left of it but what was decided.
    gone = {"alignment": {"entries": [stage.entry("dog", "Cats", threshold=0.99)]}}
    assert (await realign(stage, run_id, gone, version=2)).status_code == 200
    assert await shown(stage, run_id) == [("Person", "person", 0.5, "accepted"), ("Cats", "cat", 0.6, "rejected")]
    found = await ledger(stage, run_id)
    assert (found["person"]["shown"], found["person"]["dropped"]) == (1, {"unmapped": 2})
    (accepted,) = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels", state="accepted")
    assert accepted["id"] == by_class["person", 0.5]["id"]

    # Neither decided again, nor for the feature it would be shown as now.
    path = f"/v1/data-rows/{stage.rows[0]}"
    again = {"decisions": [{"pre_label_id": accepted["id"], "action": "reject"}]}
    answer = await stage.client.post(f"{path}/decisions", json=again, headers={"If-Match": '"2"'})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "already_decided")
    assert (await stage.get(f"/v1/projects/{stage.project}/labels"))["items"] == labels
    assert await decisions(stage) == before
    assert len(before) == 2


async def test_all_that_is_wrong_is_said_at_once(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)
    path = f"/v1/model-runs/{run_id}/alignment"
    unknown = stage.entry("horse", "Person", threshold=2)
    body = {
        "alignment": {"entries": [unknown, stage.entry("cat", "Sky")]},
        "threshold": 0.01,
        "thresholds": {"horse": 0.001, "a/b": 0.5},
    }
    answer = await realign(stage, run_id, body)
    assert answer.status_code == 422, answer.text
    assert {(one["pointer"], one["code"]) for one in answer.json()["errors"]} == {
        ("/alignment/entries/0/model_class", "unknown_model_class"),
        ("/alignment/entries/0/threshold", "threshold_out_of_range"),
        ("/alignment/entries/1/target/feature_schema_id", "not_convertible"),
        ("/threshold", "threshold_under_floor"),
        ("/thresholds/horse", "threshold_under_floor"),
        ("/thresholds/a~1b", "class_not_aligned"),
    }
    under = await realign(stage, run_id, {"threshold": 0.049})
    assert [one["pointer"] for one in under.json()["errors"]] == ["/threshold"]
    assert (await stage.client.patch(path, json={"threshold": 0.5})).status_code == 428
    stale = await realign(stage, run_id, {"threshold": 0.5}, version=7)
    assert (stale.status_code, stale.json()["current_etag"]) == (412, '"1"')
    assert (await realign(stage, run_id, {"threshold": 0.5}, role=Role.LABELER)).status_code == 403
    theirs = api.as_(elsewhere)
    assert (await theirs.get(path)).status_code == 404
    assert (await theirs.patch(path, json={"threshold": 0.5}, headers={"If-Match": '"1"'})).status_code == 404
    assert (await stage.get(path))["version"] == 1


async def test_only_runs_that_have_ended(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    refused = await realign(stage, run_id, {"threshold": 0.5})
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_ended")
    assert refused.json()["allowed"] == ["cancelled", "completed", "completed_with_errors", "failed"]
    await stage.worker.store(run_id, {stage.rows[0]: SAID[0]})
    async with unit_of_work(api.resources.sessions, api.resources.signals, "member:test") as work:
        await cancel_run(work, await work.session.get_one(ModelRunRow, run_id), "keep")
    assert (await realign(stage, run_id, {"threshold": 0.85})).status_code == 200
    assert await shown(stage, run_id) == [("Person", "person", 0.9, "pending")]
    await ledger(stage, run_id)


async def test_a_feature_that_went_meanwhile_is_said_of_the_present_alignment(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)
    path = f"/v1/projects/{stage.project}/ontology"
    read = await stage.client.get(path)
    tree = {"tools": [one for one in read.json()["tools"] if one["name"] != "Cats"]}
    tree["classifications"] = read.json()["classifications"]
    replaced = await stage.client.put(path, json=tree, headers={"If-Match": read.headers["etag"]})
    assert replaced.status_code == 200, replaced.text
    answer = await realign(stage, run_id, {"threshold": 0.5})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("", "removed_feature")
    assert "/alignment/entries/1/target/feature_schema_id" in error["detail"]


async def test_two_at_once_and_one_wins(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)
    answers = await asyncio.gather(*(realign(stage, run_id, {"threshold": 0.5 + n / 10}) for n in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    assert (await stage.get(f"/v1/model-runs/{run_id}/alignment"))["version"] == 2
    await ledger(stage, run_id)


async def test_a_large_run_is_changed_by_an_operation(
    api: Api, api_servers: tuple[str, str], workspace: Workspace, tmp_path: Any
) -> None:
    settings = api_settings(*api_servers, tmp_path / "objects").model_copy(update={"realign_at_once": 3})
    async with running_api(settings) as small:
        stage = await make_stage(small, workspace)
        run_id = await stage.finished(SAID)
        first = (await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"))[0]
        answer = await realign(stage, run_id, {"threshold": 0.8})
        assert answer.status_code == 202, answer.text
        operation = answer.headers["location"]
        assert (answer.json()["kind"], answer.json()["state"]) == (KIND, "queued")
        # Until the switch everybody sees the run as before, and decides by that.
        assert len(await shown(stage, run_id)) == 4
        second = await realign(stage, run_id, {"threshold": 0.7})
        assert (second.status_code, second.json()["code"]) == (409, "realignment_under_way")
        assert second.json()["operation_id"] == answer.json()["id"]
        await decide(stage, first, "accept")

        sessions, signals = small.resources.sessions, small.resources.signals
        async with operating(sessions, signals, OPERATIONS):
            await until_state(sessions, UUID(answer.json()["id"]), "succeeded")
        ended = await stage.get(operation)
        assert ended["result"] == {"model_run_id": str(run_id), "alignment_version": 2}
        assert ended["progress"] == {"done": 6, "total": 6, "stage": "projecting"}
        assert await shown(stage, run_id) == [("Person", "person", 0.9, "accepted")]
        assert (await ledger(stage, run_id))["person"]["accepted"] == 1
        # A cancelled one leaves the run as it is, and the next one may come.
        cancelled = await realign(stage, run_id, {"threshold": 0.1}, version=2)
        assert (await stage.client.post(f"{cancelled.headers['location']}/cancel")).status_code == 200
        assert (await stage.get(f"/v1/model-runs/{run_id}/alignment"))["version"] == 2
        last = await realign(stage, run_id, {"threshold": 0.3}, version=2)
        async with operating(sessions, signals, OPERATIONS):
            await until_state(sessions, UUID(last.json()["id"]), "succeeded")
        assert (await stage.get(f"/v1/model-runs/{run_id}/alignment"))["version"] == 4
        assert len(await shown(stage, run_id)) == 4
        await ledger(stage, run_id)
