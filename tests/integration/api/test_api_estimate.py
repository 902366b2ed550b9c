"""What a run would do and how long it would take, asked before it is submitted."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import update

from services.api.access.principal import Role
from services.api.model_runs import reused
from services.inference.recipe import note_processing, recipe_key
from services.inference.speed import add_sample
from shared.database.tables import DataRowContentRow, DataRowReviewRow, ModelRunRow, RowOutcomeRow
from shared.fingerprint import fingerprint
from shared.run_configuration import RunConfiguration
from shared.speed import Sample
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def estimate(stage: Stage, body: dict[str, Any], role: Role = Role.VIEWER) -> httpx2.Response:
    client = stage.api.as_(stage.workspace, role)
    return await client.post(f"/v1/projects/{stage.project}/model-runs/estimate", json=body)


async def measure(stage: Stage, *samples: Sample) -> None:
    async with stage.api.resources.sessions.begin() as session:
        for sample in samples:
            await add_sample(session, UUID(stage.detector), sample)


async def test_rows_and_duration_before_and_after_the_model_was_measured(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    never = (await estimate(stage, stage.body())).json()
    assert (never["selected"], never["rows"], never["skipped"]) == (5, 5, [])
    assert (never["duration"], never["duration_reason"], never["speed"]) == (None, "never_measured", None)
    model = await stage.get(f"/v1/models/{stage.detector}")
    assert (model["rows_per_second"], model["rows_per_second_deviation"], model["speed_samples"]) == (None, None, 0)

    await measure(stage, *[Sample(10, 5.0)] * 4)
    known = (await estimate(stage, stage.body())).json()
    assert known["duration"]["expected"] == pytest.approx(2.5)
    assert known["duration"]["low"] < 2.5 < known["duration"]["high"]
    assert known["duration_reason"] is None
    assert known["speed"] == {"rows_per_second": pytest.approx(2), "deviation": pytest.approx(0), "samples": 4}
    model = await stage.get(f"/v1/models/{stage.detector}")
    assert (model["rows_per_second"], model["speed_samples"]) == (pytest.approx(2), 4)
    listed = await stage.pages(f"/v1/projects/{stage.project}/model-runs")
    assert listed == [], "an estimate makes nothing"


async def test_what_is_skipped_and_why(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished({0: [("person", 0.9)], 3: [("person", 0.8)]})
    for one in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"):
        path = f"/v1/data-rows/{one['data_row_id']}/decisions"
        body = {"decisions": [{"pre_label_id": one["id"], "action": "accept"}]}
        assert (await stage.client.post(path, json=body, headers={"If-Match": '"0"'})).status_code == 201
    found = (await estimate(stage, stage.body(only_unlabeled=True, limit=2))).json()
    assert (found["selected"], found["rows"]) == (5, 2)
    assert found["skipped"] == [{"reason": "already_labeled", "rows": 2}, {"reason": "beyond_limit", "rows": 1}]
    run = await stage.post(stage.body(only_unlabeled=True, limit=2))
    assert run.json()["total"] == found["rows"]
    # A review that was submitted says that there is nothing more to do, also where it left no label.
    async with api.resources.sessions.begin() as session:
        session.add(
            DataRowReviewRow(
                data_row_id=stage.rows[1],
                workspace_id=workspace.id,
                project_id=UUID(stage.project),
                state="submitted",
            )
        )
        of_labeled = update(DataRowReviewRow).where(DataRowReviewRow.data_row_id == stage.rows[0])
        await session.execute(of_labeled.values(state="submitted"))
    found = (await estimate(stage, stage.body(only_unlabeled=True, limit=1))).json()
    assert {one["reason"]: one["rows"] for one in found["skipped"]} == {
        "already_labeled": 2,
        "review_submitted": 1,
        "beyond_limit": 1,
    }
    assert found["selected"] == found["rows"] + sum(one["rows"] for one in found["skipped"])
    done = await stage.post(stage.body(only_unlabeled=True))
    rows = {one["data_row_id"] for one in await stage.pages(f"{done.headers['location']}/outcomes")}
    assert rows == {str(stage.rows[2]), str(stage.rows[4])}
    batch = await stage.client.post(
        f"/v1/projects/{stage.project}/batches",
        json={"name": "b", "data_row_ids": [str(row) for row in stage.rows[:4]]},
    )
    of_batch = (await estimate(stage, stage.body(batch_ids=[batch.json()["id"]]))).json()
    assert (of_batch["selected"], of_batch["rows"], of_batch["skipped"]) == (4, 4, [])


async def test_it_refuses_what_a_submit_refuses_in_the_same_words(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    wrong = stage.body(stage.entry("horse", "Sky", threshold=2), batch_ids=[str(UUID(int=1))], threshold=0.001)
    asked, submitted = await estimate(stage, wrong), await stage.post(wrong)
    assert asked.status_code == submitted.status_code == 422
    assert asked.json()["errors"] == submitted.json()["errors"]
    assert len(asked.json()["errors"]) >= 4
    nothing = stage.body(batch_ids=[], limit=1)
    empty = await make_stage(api, workspace, rows=0)
    none = await estimate(empty, empty.body())
    assert (none.status_code, none.json()["errors"][0]["code"]) == (422, "no_rows")
    assert (await estimate(stage, nothing)).status_code == 200
    text = await stage.client.post("/v1/projects", json={"name": "t", "media_type": "text"})
    path = f"/v1/projects/{text.json()['id']}"
    await stage.client.post(f"{path}/data-rows", json={"items": [{"global_key": "a", "text": "x"}]})
    blocked = await stage.client.post(f"{path}/model-runs/estimate", json=stage.body())
    assert (blocked.status_code, blocked.json()["code"]) == (409, "model_blocked")


async def test_results_that_are_known_are_counted_and_take_no_time(
    api: Api, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await make_stage(api, workspace)
    await measure(stage, Sample(10, 5.0))
    run_id = await stage.finished({})
    none = (await estimate(stage, stage.body())).json()
    assert (none["reused"], none["duration"]["expected"]) == (0, pytest.approx(2.5))
    async with api.resources.sessions.begin() as session:
        await note_processing(session, frozenset())
        run = await session.get_one(ModelRunRow, run_id)
        run.started_at = run.created_at
        key = recipe_key(RunConfiguration.model_validate(run.configuration))
        assert key is not None
        for place, row in enumerate(stage.rows):
            content = bytes([place]) * 32
            of_content = update(DataRowContentRow).where(DataRowContentRow.data_row_id == row)
            await session.execute(of_content.values(sha256=content))
            known = update(RowOutcomeRow).where(RowOutcomeRow.model_run_id == run_id, RowOutcomeRow.data_row_id == row)
            if place in {0, 3}:
                await session.execute(known.values(fingerprint=fingerprint(key, content)))
    found = (await estimate(stage, stage.body())).json()
    assert (found["rows"], found["reused"], found["duration"]["expected"]) == (5, 2, pytest.approx(1.5))
    assert (await estimate(stage, stage.body(limit=3))).json()["reused"] == 1
    assert (await estimate(stage, stage.body(reuse=False))).json()["reused"] == 0
    entry = stage.entry("cat", "scene", "Indoors")
    assert (await estimate(stage, stage.body(entry, model_id=stage.classifier))).json()["reused"] == 0
    monkeypatch.setattr(reused, "MOST_LOOKED_AT", 2)  # rows 0 and 3, which stand for all
    assert (await estimate(stage, stage.body())).json()["reused"] == 5
    async with api.resources.sessions.begin() as session:
        (await session.get_one(ModelRunRow, run_id)).results_discarded = True
    assert (await estimate(stage, stage.body())).json()["reused"] == 0
