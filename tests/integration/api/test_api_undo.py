"""Undo through the front door: what it hides, and the other verbs before and after it."""

import pytest

from tests.integration.api.run_verbs import do, events, outcomes, with_failures
from tests.integration.api.stage import make_stage
from tests.integration.api.test_api_realign import SAID, decide, ledger, realign, shown
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def test_undo_hides_what_nobody_decided(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)
    seen = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    await decide(stage, seen[0], "accept")
    await decide(stage, seen[1], "reject")
    labels = await stage.pages(f"/v1/projects/{stage.project}/labels")
    assert "undo" in (await stage.get(f"/v1/model-runs/{run_id}"))["allowed_verbs"]
    answer = await do(stage, "undo", run_id)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["hidden"], answer.json()["kept"]) == (2, 2)
    run = await stage.get(f"/v1/model-runs/{run_id}")
    assert (run["state"], run["undone_at"], run["allowed_verbs"]) == ("completed", answer.json()["undone_at"], [])

    left = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    assert {(one["id"], one["state"]) for one in left} == {(seen[0]["id"], "accepted"), (seen[1]["id"], "rejected")}
    assert await stage.pages(f"/v1/model-runs/{run_id}/pre-labels", state="pending") == []
    assert await stage.pages(f"/v1/projects/{stage.project}/labels") == labels
    assert len(await outcomes(stage, run_id, state="succeeded")) == 5
    by_class = await ledger(stage, run_id)
    assert sum(one["dropped"].get("undone", 0) for one in by_class.values()) == 2
    assert {one["pending"] for one in by_class.values()} == {0}
    late = await stage.client.post(
        f"/v1/data-rows/{seen[3]['data_row_id']}/decisions",
        json={"decisions": [{"pre_label_id": seen[3]["id"], "action": "accept"}]},
        headers={"If-Match": '"0"'},
    )
    assert (late.status_code, late.json()["errors"][0]["code"]) == (422, "pre_label_not_shown")

    assert (await do(stage, "undo", run_id)).json() == answer.json(), "a second time it changes nothing"
    told = [one for one in await events(stage, run_id) if one["type"] == "model_run.undone"]
    assert [one["data"]["hidden"] for one in told] == [2]
    assert (await stage.get("/v1/notifications"))["items"][0]["type"] == "model_run.undone"
    # Another alignment shows nothing of it again, and accounts for all.
    entries = [stage.entry("person", "Person", threshold=0.05), stage.entry("dog", "Cats", threshold=0.05)]
    assert (await realign(stage, run_id, {"alignment": {"entries": entries}})).status_code == 200
    assert {one["id"] for one in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")} == {
        seen[0]["id"],
        seen[1]["id"],
    }
    await ledger(stage, run_id)


async def test_undo_and_the_other_verbs(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    assert (await do(stage, "undo", run_id)).status_code == 200
    assert (await stage.get(f"/v1/model-runs/{run_id}"))["allowed_verbs"] == []
    refused = await do(stage, "retry_failed", run_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "run_undone")
    # What a discarding cancel hid is hidden already, under its own reason.
    discarded = await stage.submit()
    await stage.worker.store(discarded, {stage.rows[0]: SAID[0]})
    await do(stage, "cancel", discarded, json={"results": "discard"})
    answer = (await do(stage, "undo", discarded)).json()
    assert (answer["undone_at"], answer["hidden"], answer["kept"]) == (None, 3, 0)
    assert (await ledger(stage, discarded))["person"]["dropped"] == {"discarded": 2}
    kept = await stage.submit()
    await stage.worker.store(kept, {stage.rows[0]: SAID[0]})
    await do(stage, "cancel", kept, json={})
    assert len(await shown(stage, kept)) == 3
    assert (await do(stage, "undo", kept)).json()["hidden"] == 3
    assert await shown(stage, kept) == []
