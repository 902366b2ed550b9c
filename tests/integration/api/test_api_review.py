import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import update

from services.api.access.principal import Role
from shared.database.tables import DetectionRow
from shared.pre_label_id import PreLabelId
from tests.integration.api.stage import DETECTOR, Stage, make_stage
from tests.support.api import Api, Workspace
from tests.support.cards import built

pytestmark = pytest.mark.asyncio


class Desk:
    """A stage with a finished run, seen by a labeler."""

    def __init__(self, stage: Stage, run_id: UUID, pre_labels: Sequence[dict[str, Any]]) -> None:
        self.stage, self.run_id, self.pre_labels = stage, run_id, pre_labels
        self.ids = [p["id"] for p in pre_labels]

    async def decide(
        self, *decisions: tuple[str, str], etag: str | None = '"0"', row: int = 0, role: Role = Role.LABELER
    ) -> httpx2.Response:
        body = {"decisions": [{"pre_label_id": one, "action": action} for one, action in decisions]}
        client = self.stage.api.as_(self.stage.workspace, role)
        headers = {"If-Match": etag} if etag else {}
        return await client.post(f"/v1/data-rows/{self.stage.rows[row]}/decisions", json=body, headers=headers)

    async def review(self, row: int = 0) -> Any:
        return await self.stage.get(f"/v1/data-rows/{self.stage.rows[row]}/review")


async def _desk(api: Api, workspace: Workspace, *entries: dict[str, Any]) -> Desk:
    stage = await make_stage(api, workspace)
    said = {0: [("person", 0.9), ("cat", 0.8)], 1: [("person", 0.7)]}
    run_id = await stage.finished(said, *entries)
    return Desk(stage, run_id, await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"))


def _errors(answer: httpx2.Response, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


async def test_accept_makes_a_label_with_full_provenance(api: Api, workspace: Workspace) -> None:
    desk = await _desk(api, workspace)
    stage = desk.stage
    labeler = str(workspace.members[Role.LABELER])
    answer = await desk.decide((desk.ids[0], "accept"), (desk.ids[1], "reject"))
    assert answer.status_code == 201, answer.text
    assert answer.headers["etag"] == '"1"'
    review = answer.json()
    assert review == await desk.review()
    assert (review["revision"], review["state"]) == (1, "open")
    assert [(d["action"], d["pre_label_id"], d["decided_by"]) for d in review["decisions"]] == [
        ("accept", desk.ids[0], labeler),
        ("reject", desk.ids[1], labeler),
    ]
    shown = review["decisions"][1]["shown"]
    assert (shown["feature_name"], shown["model_class"], shown["threshold"]) == ("Cats", "cat", 0.4)
    (label,) = review["labels"]
    assert label["annotation"] == desk.pre_labels[0]["annotation"]
    assert label["feature_schema_id"] == stage.features["Person"]
    provenance = dict(label["provenance"])
    assert provenance.pop("model") == {
        "id": stage.detector, "slug": "own-detector", "name": "Own-Detector", "version": "1.0.0",
        "digest": built(DETECTOR).digest,
    }  # fmt: skip
    assert provenance == {
        "source": "model_run",
        "model_run_id": str(desk.run_id),
        "pre_label_id": desk.ids[0],
        "decision_id": review["decisions"][0]["id"],
        "ordinal": 0,
        "model_class": "person",
        "confidence": 0.9,
        "threshold": 0.4,
        "alignment_version": 1,
        "feature_schema_id": stage.features["Person"],
        "feature_name": "Person",
        "option_id": None,
        "option_name": None,
        "action": "accept",
        "decided_by": labeler,
        "decided_at": provenance["decided_at"],
    }
    assert review["decisions"][0]["label_id"] == label["id"]

    labels = f"/v1/projects/{stage.project}/labels"
    assert await stage.pages(labels) == [label]
    assert await stage.pages(labels, data_row_id=stage.rows[1]) == []
    assert await stage.pages(labels, feature_schema_id=stage.features["Person"]) == [label]
    events = (await stage.get(f"/v1/projects/{stage.project}/events", limit=1000))["items"]
    decided = events[-1]["event"]
    assert (decided["type"], decided["subject"]["id"]) == ("data_row.decided", str(stage.rows[0]))
    assert (decided["data"]["revision"], decided["data"]["accepted"], decided["data"]["rejected"]) == (1, 1, 1)
    assert decided["actor"] == f"member:{labeler}"


async def test_constant_answers_come_with_the_label(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    pose = {
        "feature_schema_id": stage.features["Person/pose"],
        "annotation": {"kind": "radio", "option_id": stage.features["Person/pose/stands"]},
    }
    run_id = await stage.finished({0: [("person", 0.9)]}, stage.entry("person", "Person", answers=[pose]))
    found = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    assert found[0]["classifications"] == [pose]
    answer = await Desk(stage, run_id, found).decide((found[0]["id"], "accept"))
    assert answer.json()["labels"][0]["classifications"] == [pose]


async def test_answers_from_attributes_come_with_the_label(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    pose, number = stage.features["Person/pose"], stage.features["Person/pose/stands/number"]
    stands = {"kind": "radio", "option_id": stage.features["Person/pose/stands"]}
    constant = {"feature_schema_id": pose, "annotation": stands}
    entry = stage.entry("person", "Person", answers=[constant, {"feature_schema_id": number, "attribute": "text"}])
    run_id = await stage.finished({0: [("person", 0.9), ("person", 0.8)]}, entry)
    async with api.resources.sessions.begin() as session:
        first = (DetectionRow.model_run_id == run_id) & (DetectionRow.ordinal == 0)
        await session.execute(update(DetectionRow).where(first).values(attributes={"text": "42"}))
    read, unread = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    text = {"feature_schema_id": number, "annotation": {"kind": "free_text", "text": "42"}}
    assert (read["classifications"], unread["classifications"]) == ([constant, text], [constant])
    answer = await Desk(stage, run_id, [read, unread]).decide((read["id"], "accept"))
    assert answer.json()["labels"][0]["classifications"] == [constant, text]


async def test_an_answer_that_the_ontology_lost_is_no_label(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    stands = {"kind": "radio", "option_id": stage.features["Person/pose/stands"]}
    pose = {"feature_schema_id": stage.features["Person/pose"], "annotation": stands}
    run_id = await stage.finished({0: [("person", 0.9)]}, stage.entry("person", "Person", answers=[pose]))
    found = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    path = f"/v1/projects/{stage.project}/ontology"
    tree = await stage.get(path)
    tools = [{**tool, "classifications": []} for tool in tree["tools"]]
    changed = {"tools": tools, "classifications": tree["classifications"]}
    answer = await stage.client.put(path, json=changed, headers={"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text
    desk = Desk(stage, run_id, found)
    refused = await desk.decide((found[0]["id"], "accept"))
    assert refused.status_code == 409
    assert [error["code"] for error in refused.json()["errors"]] == ["feature_removed"]
    assert (await desk.decide((found[0]["id"], "reject"))).status_code == 201


async def test_if_match_is_required_and_checked(api: Api, workspace: Workspace) -> None:
    desk = await _desk(api, workspace)
    assert (await desk.decide((desk.ids[0], "accept"), etag=None)).status_code == 428
    assert (await desk.decide((desk.ids[0], "accept"), etag="*")).status_code == 412
    assert (await desk.review())["revision"] == 0
    assert (await desk.decide((desk.ids[0], "accept"))).status_code == 201
    stale = await desk.decide((desk.ids[1], "accept"))
    assert stale.status_code == 412
    assert stale.json()["current_etag"] == '"1"'
    assert stale.json()["current"] == await desk.review()
    assert (await desk.decide((desk.ids[1], "accept"), etag='"1"')).status_code == 201


async def test_two_people_at_once_settle_it_once(api: Api, workspace: Workspace) -> None:
    desk = await _desk(api, workspace)
    answers = await asyncio.gather(*(desk.decide((desk.ids[0], "accept"), role=role) for role in list(Role)[1:]))
    assert sorted(a.status_code for a in answers) == [201, 412, 412]
    assert len((await desk.review())["labels"]) == 1


async def test_decided_is_decided(api: Api, workspace: Workspace) -> None:
    desk = await _desk(api, workspace)
    await desk.decide((desk.ids[0], "reject"))
    again = await desk.decide((desk.ids[1], "accept"), (desk.ids[0], "accept"), etag='"1"')
    assert _errors(again, 409) == {"/decisions/1": "already_decided"}
    review = await desk.review()
    assert (review["revision"], review["labels"], len(review["decisions"])) == (1, [], 1)


async def test_what_is_not_shown_cannot_be_decided(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    desk = await _desk(api, workspace)
    stage, theirs = desk.stage, await _desk(api, elsewhere)
    feature, row = UUID(stage.features["Person"]), stage.rows[0]
    wrong = [
        ("pl_nonsense", "unknown_pre_label"),
        (desk.ids[0][:-1] + ("A" if desk.ids[0][-1] != "A" else "Q"), "pre_label_not_shown"),
        (desk.ids[2], "unknown_pre_label"),
        (theirs.ids[0], "unknown_pre_label"),
        (str(PreLabelId(theirs.run_id, row, 0, feature)), "pre_label_not_shown"),
        (str(PreLabelId(desk.run_id, row, 2**32 - 1, feature)), "pre_label_not_shown"),
        (str(PreLabelId(desk.run_id, row, 1, feature)), "pre_label_not_shown"),
        (str(PreLabelId(uuid4(), row, 0, feature)), "pre_label_not_shown"),
    ]
    answer = await desk.decide((desk.ids[0], "accept"), (desk.ids[0], "accept"), *((one, "accept") for one, _ in wrong))
    assert _errors(answer, 422) == {
        "/decisions/1/pre_label_id": "duplicate_decision",
        **{f"/decisions/{place}/pre_label_id": code for place, (_, code) in enumerate(wrong, 2)},
    }
    assert (await desk.review())["decisions"] == []


async def test_a_radio_has_one_answer_and_a_checklist_each_option_once(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    found: list[list[str]] = []
    for model_class, option in (("indoors", "Indoors"), ("outdoor", "Outdoors")):
        run_id = await stage.finished(
            {0: [(model_class, 0.9), ("cat", 0.8)]},
            stage.entry(model_class, "scene", option),
            stage.entry("cat", "seen", "cat"),
            model_id=stage.classifier,
        )
        found.append([p["id"] for p in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")])
    desk = Desk(stage, run_id, [])
    (indoors, cat), (outdoors, cat_again) = found
    both = await desk.decide((indoors, "accept"), (outdoors, "accept"))
    assert _errors(both, 409) == {"/decisions/1": "already_answered"}
    assert (await desk.decide((indoors, "accept"), (cat, "accept"))).status_code == 201
    late = await desk.decide((outdoors, "accept"), (cat_again, "accept"), etag='"1"')
    assert _errors(late, 409) == {"/decisions/0": "already_answered", "/decisions/1": "already_answered"}
    assert (await desk.decide((outdoors, "reject"), (cat_again, "reject"), etag='"1"')).status_code == 201


async def test_removed_feature_can_be_rejected_but_not_accepted(api: Api, workspace: Workspace) -> None:
    desk = await _desk(api, workspace)
    path = f"/v1/projects/{desk.stage.project}/ontology"
    tree = await desk.stage.get(path)
    kept = {"tools": [t for t in tree["tools"] if t["name"] != "Cats"], "classifications": tree["classifications"]}
    assert (await desk.stage.client.put(path, json=kept, headers={"If-Match": '"1"'})).status_code == 200
    assert _errors(await desk.decide((desk.ids[1], "accept")), 409) == {"/decisions/0": "feature_removed"}
    rejected = await desk.decide((desk.ids[1], "reject"))
    assert rejected.json()["decisions"][0]["shown"]["feature_name"] == "Cats"


async def test_ontology_keeps_what_labels_use(api: Api, workspace: Workspace) -> None:
    desk = await _desk(api, workspace)
    await desk.decide((desk.ids[0], "accept"))
    path = f"/v1/projects/{desk.stage.project}/ontology"
    refused = await desk.stage.client.put(path, json={"tools": [], "classifications": []}, headers={"If-Match": '"1"'})
    assert (refused.status_code, refused.json()["code"]) == (409, "ontology_in_use")


async def test_roles_foreign_rows_and_repeats(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    desk = await _desk(api, workspace)
    row = desk.stage.rows[0]
    assert (await desk.decide((desk.ids[0], "accept"), role=Role.VIEWER)).status_code == 403
    theirs = api.as_(elsewhere)
    body = {"decisions": [{"pre_label_id": desk.ids[0], "action": "accept"}]}
    headers = {"If-Match": '"0"', "Idempotency-Key": "d"}
    assert (await theirs.get(f"/v1/data-rows/{row}/review")).status_code == 404
    assert (await theirs.get(f"/v1/projects/{desk.stage.project}/labels")).status_code == 404
    assert (await theirs.post(f"/v1/data-rows/{row}/decisions", json=body, headers=headers)).status_code == 404
    client = desk.stage.client
    first, again = [await client.post(f"/v1/data-rows/{row}/decisions", json=body, headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["etag"] == '"1"'
    await client.delete(f"/v1/projects/{desk.stage.project}")
    assert (await client.get(f"/v1/data-rows/{row}/review")).status_code == 404
    assert (await desk.decide((desk.ids[1], "accept"), etag='"1"')).status_code == 404
