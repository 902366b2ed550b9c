"""Pause and resume through the front door, and that a paused run is not forgotten."""

import pytest
from sqlalchemy import select

from shared.database.tables import ModelRunRow, SegmentRow
from tests.integration.api.run_verbs import do, events, outcomes
from tests.integration.api.stage import make_stage
from tests.integration.api.test_api_realign import realign
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def test_pause_and_resume(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    generation = await stage.worker.take(run_id)
    await stage.worker.store(run_id, {stage.rows[0]: [("person", 0.9)]}, {stage.rows[3]: "undecodable_image"})
    answer = await do(stage, "pause", run_id)
    assert answer.status_code == 200, answer.text
    run = answer.json()
    assert (run["state"], run["done"], run["failed"], run["finished_at"]) == ("paused", 2, 1, None)
    assert run == await stage.get(f"/v1/model-runs/{run_id}")
    async with api.resources.sessions() as session:
        (segment,) = await session.scalars(select(SegmentRow).where(SegmentRow.model_run_id == run_id))
    assert (segment.state, segment.generation, segment.holder) == ("open", generation + 1, None)
    assert (await do(stage, "pause", run_id)).json() == run
    assert len(await outcomes(stage, run_id, state="pending")) == 3
    refused = await realign(stage, run_id, {"threshold": 0.5})
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_ended")

    resumed = (await do(stage, "resume", run_id)).json()
    assert (resumed["state"], resumed["done"], resumed["allowed_verbs"]) == ("queued", 2, ["cancel", "pause"])
    assert (await do(stage, "resume", run_id)).json() == resumed
    told = await events(stage, run_id)
    assert [(one["type"], one["data"]["state"]) for one in told] == [
        ("model_run.queued", "queued"),
        ("model_run.paused", "paused"),
        ("model_run.resumed", "queued"),
    ]
    assert {(one["data"]["succeeded"], one["data"]["failed"]) for one in told[1:]} == {(1, 1)}
    notified = (await stage.get("/v1/notifications"))["items"]
    assert [one["type"] for one in notified] == ["model_run.paused"]
    paused = (await do(stage, "pause", run_id)).json()
    assert paused["state"] == "paused"
    cancelled = (await do(stage, "cancel", run_id, json={})).json()
    assert (cancelled["state"], cancelled["done"]) == ("cancelled", 2)


async def test_a_paused_run_is_not_forgotten(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    await do(stage, "pause", run_id)
    used = await stage.client.delete(f"/v1/models/{stage.detector}")
    assert (used.status_code, used.json()["model_run_ids"]) == (409, [str(run_id)])
    path = f"/v1/projects/{stage.project}"
    revision = (await stage.client.get(path)).headers["etag"]
    assert (await stage.client.delete(path, headers={"If-Match": revision})).status_code == 204
    async with api.resources.sessions() as session:
        run = await session.get_one(ModelRunRow, run_id)
        (segment,) = await session.scalars(select(SegmentRow).where(SegmentRow.model_run_id == run_id))
    assert (run.state, run.state_reason, segment.state) == ("cancelled", "project_deleted", "cancelled")
    assert (await do(stage, "resume", run_id)).status_code == 404
