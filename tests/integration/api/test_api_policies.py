"""Policies: what they accept, what they leave to people, and when they stop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select

from services.api.access.principal import Role
from services.api.auto_accept.apply import apply_policy
from services.api.draws import is_drawn
from services.api.review.bulk_undo import undo_in_bulk
from shared.database.tables import DecisionRow, PolicyAuditRow, PolicyRow
from tests.integration.api.desk import Desk
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace
from tests.support.operations import operating, until_state

pytestmark = pytest.mark.asyncio

HANDLERS = {"apply_policy": apply_policy, "undo_bulk_decisions": undo_in_bulk}


class Office:
    """A stage with policies. `apply` waits until it is done."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.editor = stage, stage.api.as_(stage.workspace, Role.EDITOR)

    async def create(self, **more: Any) -> dict[str, Any]:
        body = {"feature_schema_id": self.stage.features["Person"], "threshold": 0.8, **more}
        answer = await self.editor.post(f"/v1/projects/{self.stage.project}/policies", json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def post(self, policy: dict[str, Any], run_id: UUID) -> httpx2.Response:
        return await self.editor.post(f"/v1/policies/{policy['id']}/apply", json={"model_run_id": str(run_id)})

    async def apply(self, policy: dict[str, Any], run_id: UUID) -> dict[str, Any]:
        answer = await self.post(policy, run_id)
        assert answer.status_code == 202, answer.text
        return await self.done(answer.json()["id"])

    async def done(self, operation_id: str) -> dict[str, Any]:
        resources = self.stage.api.resources
        async with operating(resources.sessions, resources.signals, HANDLERS):
            row = await until_state(resources.sessions, UUID(operation_id), "succeeded", "failed", "cancelled")
        assert row.state == "succeeded", row.problem
        assert row.result is not None
        return row.result

    async def see(self, policy: dict[str, Any]) -> dict[str, Any]:
        answer = await self.editor.get(f"/v1/policies/{policy['id']}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def drawn(self, policy: dict[str, Any]) -> set[UUID]:
        """Data rows its seed draws, of all."""
        async with self.stage.api.resources.sessions() as session:
            row = await session.get_one(PolicyRow, UUID(policy["id"]))
            return {one for one in self.stage.rows if is_drawn(row.seed, one, row.audit_share)}

    async def audited(self, policy: dict[str, Any]) -> set[UUID]:
        async with self.stage.api.resources.sessions() as session:
            found = await session.scalars(
                select(PolicyAuditRow.data_row_id).where(PolicyAuditRow.policy_id == UUID(policy["id"]))
            )
            return set(found)


@asynccontextmanager
async def judging(office: Office, run_id: UUID) -> AsyncIterator[Any]:
    pre_labels = await office.stage.pages(f"/v1/model-runs/{run_id}/pre-labels")

    async def judge(row: UUID, action: str) -> None:
        desk = Desk(office.stage, run_id, pre_labels, list(office.stage.rows).index(row))
        await desk.decided({"action": action, "pre_label_id": desk.ids[0]})

    yield judge


async def test_it_accepts_what_it_is_about_and_leaves_the_audited_share(api: Api, workspace: Workspace) -> None:
    office = Office(await make_stage(api, workspace, rows=40))
    stage = office.stage
    said = {n: [("person", 0.9), ("person", 0.5), ("cat", 0.95)] for n in range(40)}
    run_id = await stage.finished(said)
    policy = await office.create(audit_share=0.3)
    result = await office.apply(policy, run_id)
    drawn = await office.drawn(policy)
    assert 3 <= len(drawn) <= 25
    assert (result["accepted"], result["data_rows"], result["policy_state"]) == (
        40 - len(drawn),
        40 - len(drawn),
        "active",
    )
    assert await office.audited(policy) == drawn
    labels = await stage.pages(f"/v1/projects/{stage.project}/labels")
    assert {UUID(one["data_row_id"]) for one in labels} == set(stage.rows) - drawn
    provenance = labels[0]["provenance"]
    assert (provenance["source"], provenance["policy_id"]) == ("policy", policy["id"])
    assert (provenance["model_run_id"], provenance["confidence"]) == (str(run_id), 0.9)
    states = [(one["model_class"], one["confidence"], one["state"]) for one in await _pre_labels(stage, run_id)]
    assert states.count(("person", 0.9, "accepted")) == 40 - len(drawn)
    assert states.count(("person", 0.9, "pending")) == len(drawn)
    assert all(state == "pending" for _, confidence, state in states if confidence != 0.9)
    seen = await office.see(policy)
    assert (seen["accepted"], seen["audits"]["drawn"], seen["audits"]["judged"]) == (40 - len(drawn), len(drawn), 0)
    # Nobody looked, so nothing of it is a judgement.
    metrics = await stage.get(f"/v1/model-runs/{run_id}/metrics", include_bulk=True)
    assert metrics["overall"]["judged"] == 0
    again = await office.apply(policy, run_id)
    assert again["accepted"] == 0
    assert await office.audited(policy) == drawn


async def _pre_labels(stage: Stage, run_id: UUID) -> list[dict[str, Any]]:
    return await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")


async def test_a_drift_stops_it_within_the_computed_number_of_audits(api: Api, workspace: Workspace) -> None:
    office = Office(await make_stage(api, workspace, rows=70))
    stage = office.stage
    run_id = await stage.finished({n: [("person", 0.9)] for n in range(70)})
    policy = await office.create(
        audit_share=1.0, target_precision=0.8, confidence=0.9, window_audits=30, name="all are audited"
    )
    allowed = policy["audits"]["allowed_wrong"]
    assert allowed == 2
    await office.apply(policy, run_id)
    async with judging(office, run_id) as judge:
        for place, row in enumerate(stage.rows[:40]):
            await judge(row, "reject" if place in {5, 36} else "accept")
        seen = await office.see(policy)
        assert seen["state"] == "active"
        assert (seen["audits"]["judged"], seen["audits"]["window_judged"], seen["audits"]["window_wrong"]) == (
            40,
            30,
            1,
        )
        assert seen["audits"]["lower_bound"] >= 0.8
        # From here on everything is wrong: one wrong one is in the window, so two more are the last straw.
        await judge(stage.rows[40], "reject")
        assert (await office.see(policy))["state"] == "active"
        await judge(stage.rows[41], "reject")
    seen = await office.see(policy)
    assert (seen["state"], seen["audits"]["window_wrong"]) == ("stopped", allowed + 1)
    assert seen["audits"]["lower_bound"] < 0.8
    assert seen["ended_at"] is not None
    await _check_told(stage, policy, seen)
    refused = await office.post(policy, run_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "policy_ended")


async def _check_told(stage: Stage, policy: dict[str, Any], seen: dict[str, Any]) -> None:
    events = (await stage.get(f"/v1/projects/{stage.project}/events", page_size=500))["items"]
    (stopped,) = [one["event"] for one in events if one["event"]["type"] == "policy.stopped"]
    assert stopped["subject"] == {"kind": "policy", "id": policy["id"]}
    assert stopped["data"]["reason"] == seen["state_reason"]
    notified = (await stage.get("/v1/notifications"))["items"]
    assert [one["type"] for one in notified].count("policy.stopped") == 1


async def test_an_undone_judgement_is_none_and_an_edit_counts_by_its_likeness(api: Api, workspace: Workspace) -> None:
    office = Office(await make_stage(api, workspace, rows=3))
    stage = office.stage
    run_id = await stage.finished({n: [("person", 0.9)] for n in range(3)})
    policy = await office.create(audit_share=1.0)
    await office.apply(policy, run_id)
    desk = Desk(stage, run_id, await _pre_labels(stage, run_id))
    review = await desk.decided({"action": "accept", "pre_label_id": desk.ids[0]})
    assert (await office.see(policy))["audits"]["judged"] == 1
    await desk.decided({"action": "undo", "decision_id": review["decisions"][0]["id"]})
    assert (await office.see(policy))["audits"]["judged"] == 0
    box = {"kind": "bounding_box", "left": 2, "top": 2, "width": 10, "height": 20}
    review = await desk.decided({"action": "edit", "pre_label_id": desk.ids[0], "annotation": box})
    audits = (await office.see(policy))["audits"]
    assert (audits["judged"], audits["window_wrong"]) == (1, 0)
    far = {"action": "edit", "label_id": review["labels"][0]["id"], "annotation": {**box, "left": 9}}
    await desk.decided(far)
    audits = (await office.see(policy))["audits"]
    assert (audits["judged"], audits["window_wrong"]) == (1, 1)


async def test_what_it_accepted_is_undone_like_a_bulk(api: Api, workspace: Workspace) -> None:
    office = Office(await make_stage(api, workspace, rows=6))
    stage = office.stage
    run_id = await stage.finished({n: [("person", 0.9)] for n in range(6)})
    policy = await office.create(audit_share=0.01)
    operation = (await office.post(policy, run_id)).json()["id"]
    accepted = (await office.done(operation))["accepted"]
    assert accepted >= 4
    path = f"/v1/projects/{stage.project}/decisions/bulk/{operation}/undo"
    answer = await office.editor.post(path)
    assert answer.status_code == 202, answer.text
    assert (await office.done(answer.json()["id"]))["undone"] == accepted
    assert await stage.pages(f"/v1/projects/{stage.project}/labels") == []
    # What people say of it now is a judgement like any other.
    desk = Desk(stage, run_id, await _pre_labels(stage, run_id))
    await desk.decided({"action": "accept", "pre_label_id": desk.ids[0]})
    assert (await stage.get(f"/v1/model-runs/{run_id}/metrics"))["overall"]["judged"] == 1


async def test_nothing_a_labeler_reads_tells_an_audit_from_any_other_row(api: Api, workspace: Workspace) -> None:
    office = Office(await make_stage(api, workspace, rows=30))
    stage = office.stage
    run_id = await stage.finished({n: [("person", 0.9)] for n in range(30)})
    policy = await office.create(audit_share=0.5)
    await office.apply(policy, run_id)
    labeler = api.as_(workspace, Role.LABELER)
    for path in (f"/v1/policies/{policy['id']}", f"/v1/projects/{stage.project}/policies"):
        assert (await labeler.get(path)).status_code == 403
    row = min(await office.audited(policy))
    desk = Desk(stage, run_id, [], list(stage.rows).index(row))
    review = await desk.review()
    assert (review["revision"], review["decisions"], review["labels"]) == (0, [], [])
    (shown,) = [one for one in await _pre_labels(stage, run_id) if one["data_row_id"] == str(row)]
    assert shown["state"] == "pending"
    assert "polic" not in str(shown)
    events = (await stage.get(f"/v1/projects/{stage.project}/events", page_size=500))["items"]
    applied = [one["event"] for one in events if one["event"]["type"].startswith("policy.")]
    assert [set(one["data"]) for one in applied] == [
        {"workspace_id", "project_id", "policy_id", "model_run_id", "operation_id", "accepted", "data_rows"}
        & set(applied[0]["data"])
    ]
    assert str(row) not in str(events)


async def test_the_same_seed_draws_the_same_and_another_policy_others(api: Api, workspace: Workspace) -> None:
    office = Office(await make_stage(api, workspace, rows=60))
    run_id = await office.stage.finished({n: [("person", 0.9)] for n in range(60)})
    first, second = await office.create(audit_share=0.5), await office.create(audit_share=0.5)
    assert await office.drawn(first) != await office.drawn(second)
    assert "seed" not in str(first)
    await office.apply(first, run_id)
    assert await office.audited(first) == await office.drawn(first)
    async with office.stage.api.resources.sessions() as session:
        by_policy = await session.scalars(select(DecisionRow).where(DecisionRow.policy_id == UUID(first["id"])))
        assert {one.data_row_id for one in by_policy} == set(office.stage.rows) - await office.drawn(first)


async def test_what_cannot_be(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    office = Office(await make_stage(api, workspace))
    stage = office.stage
    path = f"/v1/projects/{stage.project}/policies"
    body = {"feature_schema_id": str(uuid4()), "threshold": 0.9, "window_audits": 10}
    refused = await office.editor.post(path, json=body)
    assert refused.status_code == 422
    assert {(one["pointer"], one["code"]) for one in refused.json()["errors"]} == {
        ("/feature_schema_id", "unknown_feature"),
        ("/window_audits", "window_too_short"),
    }
    body = {"feature_schema_id": stage.features["scene"], "option_id": stage.features["seen/cat"], "threshold": 0.9}
    assert (await office.editor.post(path, json=body)).json()["errors"][0]["code"] == "unknown_option"
    policy = await office.create(catalog_model_id=stage.classifier)
    run_id = await stage.submit()
    assert (await office.post(policy, run_id)).json()["code"] == "other_model"
    policy = await office.create()
    assert (await office.post(policy, run_id)).json()["code"] == "run_not_ended"
    assert (await office.post(policy, uuid4())).status_code == 404
    assert (await api.as_(elsewhere).get(f"/v1/policies/{policy['id']}")).status_code == 404
    withdrawn = await office.editor.post(f"/v1/policies/{policy['id']}/withdraw")
    assert (withdrawn.status_code, withdrawn.json()["state"]) == (200, "withdrawn")
    assert (await office.post(policy, run_id)).json()["code"] == "policy_ended"
    assert (await office.editor.post(f"/v1/policies/{policy['id']}/withdraw")).status_code == 409
