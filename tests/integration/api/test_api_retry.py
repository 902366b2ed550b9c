"""Retry through the front door: over which rows, as what is now, and what is said of what changed meanwhile."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from services.api.worker import OPERATIONS
from shared.database.tables import CatalogModelRow, ModelRunRow
from tests.integration.api.run_verbs import do, events, outcomes, put, with_failures
from tests.integration.api.stage import make_stage
from tests.integration.api.test_api_realign import SAID, decide, ledger, realign, shown
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.operations import operating, until_state

pytestmark = pytest.mark.asyncio


async def test_the_same_key_tries_again_once(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    key = {"Idempotency-Key": "again"}
    first, second = [await do(stage, "retry_failed", run_id, headers=key) for _ in range(2)]
    assert (first.status_code, first.headers["location"]) == (202, f"/v1/model-runs/{run_id}")
    assert first.json() == second.json()
    assert first.json()["execution"] == 2
    assert (await do(stage, "retry_failed", run_id)).json()["code"] == "illegal_transition"


async def test_a_retry_is_an_execution_over_the_failed_rows(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    before, seen = await outcomes(stage, run_id), await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    await decide(stage, seen[0], "accept")
    labels = await stage.pages(f"/v1/projects/{stage.project}/labels")
    run = (await do(stage, "retry_failed", run_id)).json()
    assert (run["state"], run["execution"], run["finished_at"]) == ("queued", 2, None)
    assert (run["total"], run["done"], run["succeeded"], run["failed"]) == (5, 3, 3, 0)
    assert sorted(await outcomes(stage, run_id, state="pending", page_size=1)) == [1, 3]
    assert await outcomes(stage, run_id, state="failed") == {}
    assert len(await outcomes(stage, run_id, page_size=2)) == 5

    await stage.worker.store(run_id, {stage.rows[1]: SAID[1]}, {stage.rows[3]: "too_large"})
    await stage.worker.end(run_id, "completed_with_errors")
    after = await outcomes(stage, run_id)
    assert {place: after[place] for place in (0, 2, 4)} == {place: before[place] for place in (0, 2, 4)}
    assert {(after[place]["state"], after[place]["execution"], after[place]["attempts"]) for place in (1, 3)} == {
        ("succeeded", 2, 2),
        ("failed", 2, 2),
    }
    ids = {one["id"] for one in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")}
    assert {one["id"] for one in seen} < ids
    assert await stage.pages(f"/v1/projects/{stage.project}/labels") == labels
    await ledger(stage, run_id)
    told = [(one["type"], one["data"]["execution"], one["data"]["failed"]) for one in await events(stage, run_id)]
    assert told == [
        ("model_run.queued", 1, 0),
        ("model_run.completed_with_errors", 1, 2),
        ("model_run.queued", 2, 0),
        ("model_run.completed_with_errors", 2, 1),
    ]
    await do(stage, "retry_failed", run_id)
    await do(stage, "cancel", run_id, json={})
    assert sorted(await outcomes(stage, run_id, state="not_run")) == [3]


async def test_a_retry_after_a_failed_run_has_the_rows_it_left(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    await stage.worker.store(run_id, {stage.rows[0]: SAID[0]}, {stage.rows[1]: "too_large"})
    await stage.worker.end(run_id, "failed")
    assert sorted(await outcomes(stage, run_id, state="not_run")) == [2, 3, 4]
    run = (await do(stage, "retry_failed", run_id)).json()
    assert (run["state"], run["state_reason"], run["done"]) == ("queued", None, 1)
    assert sorted(await outcomes(stage, run_id, state="pending")) == [1, 2, 3, 4]
    await stage.worker.store(run_id, {row: () for row in stage.rows[1:]})
    await stage.worker.end(run_id)
    found = await outcomes(stage, run_id)
    assert [found[place]["attempts"] for place in range(5)] == [1, 2, 1, 1, 1]
    done = await stage.finished({})
    await put(stage, done, state="failed", state_reason="it had just ended")
    nothing = await do(stage, "retry_failed", done)
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_retry")
    assert (await stage.get(f"/v1/model-runs/{done}"))["execution"] == 1


async def test_a_retry_sees_through_the_alignment_of_now(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    assert (await realign(stage, run_id, {"threshold": 0.55})).status_code == 200
    run = (await do(stage, "retry_failed", run_id)).json()
    assert run["alignment_version"] == 2
    refused = await realign(stage, run_id, {"threshold": 0.3}, version=2)
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_ended")
    await stage.worker.store(run_id, {stage.rows[1]: [("person", 0.5), ("cat", 0.7)], stage.rows[3]: []})
    await stage.worker.end(run_id)
    names = [("person", 0.9), ("cat", 0.6), ("cat", 0.7)]
    assert [one[1:3] for one in await shown(stage, run_id)] == names
    assert (await ledger(stage, run_id))["person"]["dropped"] == {"below_threshold": 2}
    assert (await realign(stage, run_id, {"threshold": 0.45}, version=2)).status_code == 200
    assert [one[1:3] for one in await shown(stage, run_id)] == [
        *names[:1],
        ("person", 0.5),
        names[1],
        ("person", 0.5),
        names[2],
    ]
    await ledger(stage, run_id)


async def test_what_changed_since_the_run_is_said(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    path = f"/v1/projects/{stage.project}/ontology"
    read = await stage.client.get(path)
    tree = {"tools": [one for one in read.json()["tools"] if one["name"] != "Cats"]}
    tree["classifications"] = read.json()["classifications"]
    assert (await stage.client.put(path, json=tree, headers={"If-Match": '"1"'})).status_code == 200
    outdated = await do(stage, "retry_failed", run_id)
    assert (outdated.status_code, outdated.json()["code"]) == (409, "alignment_outdated")
    (error,) = outdated.json()["alignment_errors"]
    assert (error["pointer"], error["code"]) == (
        "/alignment/entries/1/target/feature_schema_id",
        "removed_feature",
    )
    entries = [stage.entry("person", "Person")]
    assert (await realign(stage, run_id, {"alignment": {"entries": entries}})).status_code == 200
    assert (await do(stage, "retry_failed", run_id)).status_code == 202

    other = await with_failures(stage, alignment={"entries": entries})
    async with api.resources.sessions.begin() as session:
        gone = update(CatalogModelRow).where(CatalogModelRow.id == UUID(stage.detector))
        await session.execute(gone.values(deleted_at=select(ModelRunRow.created_at).limit(1).scalar_subquery()))
    deleted = await do(stage, "retry_failed", other)
    assert (deleted.status_code, deleted.json()["code"]) == (409, "model_deleted")
    assert (await outcomes(stage, other, state="failed")).keys() == {1, 3}, "a refusal changes nothing"


async def test_an_alignment_that_is_being_changed_comes_first(
    api: Api, api_servers: tuple[str, str], workspace: Workspace, tmp_path: Any
) -> None:
    settings = api_settings(*api_servers, tmp_path / "objects").model_copy(update={"realign_at_once": 1})
    async with running_api(settings) as small:
        stage = await make_stage(small, workspace)
        run_id = await with_failures(stage)
        operation = (await realign(stage, run_id, {"threshold": 0.7})).json()["id"]
        refused = await do(stage, "retry_failed", run_id)
        assert (refused.status_code, refused.json()["code"]) == (409, "realignment_under_way")
        assert refused.json()["operation_id"] == operation
        undone = await do(stage, "undo", run_id)
        assert undone.json()["hidden"] == 3
        async with operating(small.resources.sessions, small.resources.signals, OPERATIONS):
            await until_state(small.resources.sessions, UUID(operation), "succeeded")
        assert (await stage.get(f"/v1/model-runs/{run_id}/alignment"))["version"] == 2
        assert await shown(stage, run_id) == [], "no alignment shows again what was undone"
        assert (await do(stage, "undo", run_id)).json()["hidden"] == 1
