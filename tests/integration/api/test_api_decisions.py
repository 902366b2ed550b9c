"""Edits, labels by hand, undo, submit: what people do with a data row, by the api."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from services.api.access.principal import Role
from shared.database.tables import DataRowContentRow
from tests.integration.api.desk import BOX, Desk, errors, make_desk
from tests.integration.api.stage import make_stage
from tests.integration.api.test_api_realign import ledger, realign, shown
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def test_an_edit_keeps_what_was_shown_what_was_made_and_the_difference(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    before = _stored(desk.pre_labels[0]["annotation"])
    half = {**before, "width": before["width"] / 2}
    pose = {
        "feature_schema_id": desk.stage.features["Person/pose"],
        "annotation": {"kind": "radio", "option_id": desk.stage.features["Person/pose/sits"]},
    }
    edit = {"action": "edit", "pre_label_id": desk.ids[0], "annotation": half, "classifications": [pose]}
    review = await desk.decided(edit, seconds=12.5)
    (decision,), (label,) = review["decisions"], review["labels"]
    assert (decision["action"], decision["label_id"], review["seconds"]) == ("edit", label["id"], 12.5)
    assert decision["shown"]["annotation"] == before
    assert decision["made"] == {
        "feature_schema_id": desk.stage.features["Person"],
        "annotation": half,
        "classifications": [pose],
    }
    assert decision["difference"] == {
        "likeness": pytest.approx(0.5),
        "annotation_changed": True,
        "feature_changed": False,
        "answers_changed": [desk.stage.features["Person/pose"]],
    }
    assert (_stored(label["annotation"]), label["classifications"]) == (half, [pose])
    provenance = label["provenance"]
    assert (provenance["source"], provenance["action"], provenance["model_class"]) == ("model_run", "edit", "person")
    assert (await ledger(desk.stage, desk.run_id))["person"]["edited"] == 1
    assert [one[3] for one in await shown(desk.stage, desk.run_id)] == ["edited", "pending", "pending"]
    (edited,) = await desk.stage.pages(f"/v1/model-runs/{desk.run_id}/pre-labels", state="edited")
    assert _stored(edited["annotation"]) == before, "the pre-label stays what the model said"


async def test_another_class_is_an_edit(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    outline = [[1, 1], [9, 1], [9, 9]]
    cat = {"kind": "polygon", "parts": [{"exterior": outline}]}
    other = desk.stage.features["Cats"]
    edit = {"action": "edit", "pre_label_id": desk.ids[0], "feature_schema_id": other}
    wrong = await desk.decide(edit)
    assert errors(wrong, 422) == {"/decisions/0/annotation": "wrong_kind"}
    review = await desk.decided({**edit, "annotation": cat})
    assert review["labels"][0]["feature_schema_id"] == other
    difference = review["decisions"][0]["difference"]
    assert (difference["likeness"], difference["feature_changed"]) == (None, True)
    assert review["decisions"][0]["feature_schema_id"] == desk.stage.features["Person"], "the one it was shown for"


async def test_a_label_of_a_pre_label_is_changed_then_deleted_then_all_undone(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    accepted = await desk.decided({"action": "accept", "pre_label_id": desk.ids[0]})
    (label,) = accepted["labels"]
    wider = {**label["annotation"], "width": label["annotation"]["width"] * 2}
    edited = await desk.decided({"action": "edit", "label_id": label["id"], "annotation": wider})
    assert [(one["action"], one["undone"]) for one in edited["decisions"]] == [("accept", True), ("edit", False)]
    second = edited["decisions"][1]
    assert second["replaces"] == accepted["decisions"][0]["id"]
    assert second["shown"] == accepted["decisions"][0]["shown"]
    assert second["before"]["annotation"] == _stored(label["annotation"])
    assert second["difference"]["likeness"] == pytest.approx(0.5)
    assert edited["labels"][0]["id"] == label["id"]
    assert (await ledger(desk.stage, desk.run_id))["person"]["edited"] == 1

    deleted = await desk.decided({"action": "delete", "label_id": label["id"]})
    assert (deleted["labels"], deleted["decisions"][2]["action"]) == ([], "reject")
    assert (await ledger(desk.stage, desk.run_id))["person"]["rejected"] == 1
    gone = await desk.decide({"action": "edit", "label_id": label["id"], "annotation": wider})
    assert errors(gone, 409) == {"/decisions/0/label_id": "label_deleted"}

    for number, (labels, state) in enumerate([(edited["labels"], "edited"), (accepted["labels"], "accepted")]):
        last = 2 - number
        review = await desk.decided({"action": "undo", "decision_id": deleted["decisions"][last]["id"]})
        assert [_settled(one) for one in review["labels"]] == [_settled(one) for one in labels]
        assert (await shown(desk.stage, desk.run_id))[0][3] == state
    review = await desk.decided({"action": "undo", "decision_id": deleted["decisions"][0]["id"]})
    assert review["labels"] == []
    assert [one["action"] for one in review["decisions"]] == ["accept", "edit", "reject", "undo", "undo", "undo"]
    assert (await shown(desk.stage, desk.run_id))[0][3] == "pending"
    again = await desk.decided({"action": "reject", "pre_label_id": desk.ids[0]})
    assert again["revision"] == 7


async def test_labels_by_hand_are_added_changed_deleted_and_brought_back(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    person = desk.stage.features["Person"]
    add = {"action": "add", "feature_schema_id": person, "annotation": BOX}
    review = await desk.decided(add)
    (label,) = review["labels"]
    assert (label["provenance"]["source"], label["provenance"]["action"]) == ("hand", "add")
    assert (review["decisions"][0]["model_run_id"], review["decisions"][0]["shown"]) == (None, None)
    moved = await desk.decided({"action": "edit", "label_id": label["id"], "annotation": {**BOX, "left": 30}})
    assert moved["decisions"][1]["difference"]["likeness"] == pytest.approx(1 / 3)
    deleted = await desk.decided({"action": "delete", "label_id": label["id"]})
    assert (deleted["labels"], deleted["decisions"][2]["action"]) == ([], "delete")
    back = await desk.decided({"action": "undo", "decision_id": deleted["decisions"][2]["id"]})
    assert back["labels"][0]["annotation"]["left"] == 30
    assert await desk.stage.pages(f"/v1/projects/{desk.stage.project}/labels") == back["labels"]
    events = (await desk.stage.get(f"/v1/projects/{desk.stage.project}/events", limit=1000))["items"]
    told = [one["event"]["data"] for one in events if one["event"]["type"] == "data_row.decided"]
    names = ("added", "edited", "deleted", "undone", "accepted", "rejected")
    assert [[one[name] for name in names] for one in told] == [
        [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0],
    ]  # fmt: skip


async def test_everything_wrong_is_listed_at_once(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    features = desk.stage.features
    async with api.resources.sessions.begin() as session:
        row = DataRowContentRow.data_row_id == desk.stage.rows[0]
        await session.execute(update(DataRowContentRow).where(row).values(width=100, height=50))
    sits = {"kind": "radio", "option_id": features["Person/pose/sits"]}
    number = {"feature_schema_id": features["Person/pose/stands/number"], "annotation": _text("7")}
    pose = {"feature_schema_id": features["Person/pose"], "annotation": sits}
    scene = {"kind": "radio", "option_id": features["scene/Indoors"]}
    add = {"action": "add", "feature_schema_id": features["Person"]}
    answer = await desk.decide(
        {**add, "annotation": {**BOX, "width": 91}},
        {**add, "annotation": BOX, "classifications": [pose, number]},
        {**add, "annotation": BOX, "classifications": [pose, pose]},
        {**add, "annotation": scene},
        {"action": "add", "feature_schema_id": features["scene"], "annotation": sits},
        {"action": "add", "feature_schema_id": str(uuid4()), "annotation": BOX},
        {"action": "add", "feature_schema_id": features["Person/pose"], "annotation": sits},
        {"action": "edit", "label_id": str(uuid4()), "annotation": BOX},
        {"action": "edit", "pre_label_id": desk.ids[0], "annotation": desk.pre_labels[0]["annotation"]},
        {"action": "undo", "decision_id": str(uuid4())},
        {"action": "accept", "pre_label_id": "pl_nonsense"},
        {"action": "add", "feature_schema_id": features["Sky"], "annotation": {**_mask(2, 2)}},
    )
    assert errors(answer, 422) == {
        "/decisions/0/annotation": "outside_data_row",
        "/decisions/1/classifications/1/feature_schema_id": "foreign_answer",
        "/decisions/2/classifications/1": "duplicate_answer",
        "/decisions/3/annotation": "wrong_kind",
        "/decisions/4/annotation": "foreign_option",
        "/decisions/5/feature_schema_id": "unknown_feature",
        "/decisions/6/feature_schema_id": "nested_feature",
        "/decisions/7/label_id": "unknown_label",
        "/decisions/8": "nothing_changed",
        "/decisions/9/decision_id": "unknown_decision",
        "/decisions/10/pre_label_id": "unknown_pre_label",
        "/decisions/11/annotation": "outside_data_row",
    }
    assert (await desk.review())["revision"] == 0
    both = await desk.decide({"action": "edit", "label_id": str(uuid4()), "pre_label_id": desk.ids[0]})
    assert list(errors(both, 422)) == ["/decisions/0"]


async def test_a_radio_by_hand_has_one_answer_and_is_exchanged_in_one_request(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    features = desk.stage.features

    def scene(option: str) -> dict[str, Any]:
        answer = {"kind": "radio", "option_id": features[f"scene/{option}"]}
        return {"action": "add", "feature_schema_id": features["scene"], "annotation": answer}

    two = await desk.decide(scene("Indoors"), scene("Outdoors"))
    assert errors(two, 409) == {"/decisions/1": "already_answered"}
    review = await desk.decided(scene("Indoors"))
    indoors = review["labels"][0]
    exchanged = await desk.decided(scene("Outdoors"), {"action": "delete", "label_id": indoors["id"]})
    assert [one["annotation"] for one in exchanged["labels"]] == [scene("Outdoors")["annotation"]]
    delete = next(one for one in exchanged["decisions"] if one["action"] == "delete")
    late = await desk.decide({"action": "undo", "decision_id": delete["id"]})
    assert errors(late, 409) == {"/decisions/0": "already_answered"}


async def test_an_undo_under_another_alignment_shows_what_that_says(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    review = await desk.decided({"action": "accept", "pre_label_id": desk.ids[1]})
    assert (await realign(desk.stage, desk.run_id, {"threshold": 0.85})).status_code == 200
    assert ("Cats", "cat", 0.8, "accepted") in await shown(desk.stage, desk.run_id)
    await desk.decided({"action": "undo", "decision_id": review["decisions"][0]["id"]})
    assert await shown(desk.stage, desk.run_id) == [("Person", "person", 0.9, "pending")]
    found = await ledger(desk.stage, desk.run_id)
    assert (found["cat"]["shown"], found["cat"]["dropped"]) == (0, {"below_threshold": 1})


async def test_undoing_a_run_leaves_people_their_undo(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    review = await desk.decided({"action": "accept", "pre_label_id": desk.ids[0]})
    assert (await desk.stage.client.delete(f"/v1/model-runs/{desk.run_id}/pre-labels")).status_code == 200
    assert len((await desk.review())["labels"]) == 1
    refused = await desk.decide({"action": "accept", "pre_label_id": desk.ids[1]})
    assert errors(refused, 422) == {"/decisions/0/pre_label_id": "pre_label_not_shown"}
    undone = await desk.decided({"action": "undo", "decision_id": review["decisions"][0]["id"]})
    assert undone["labels"] == []
    assert await shown(desk.stage, desk.run_id) == []


async def test_submit_and_reopen(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    accept = {"action": "accept", "pre_label_id": desk.ids[0]}
    review = await desk.decided(accept, submit=True, seconds=4)
    assert (review["state"], review["submitted_by"]) == ("submitted", str(workspace.members[Role.LABELER]))
    for refused in (await desk.decide({**accept, "pre_label_id": desk.ids[1]}), await desk.send("review/submit", {})):
        assert (refused.status_code, refused.json()["code"]) == (409, "review_submitted")
    opened = (await desk.send("review/reopen")).json()
    assert (opened["state"], opened["submitted_by"], opened["revision"]) == ("open", None, 2)
    assert (await desk.send("review/reopen")).json()["code"] == "review_open"
    again = await desk.send("review/submit", {"seconds": 2})
    assert (again.status_code, again.json()["seconds"], again.headers["etag"]) == (200, 6, '"3"')
    assert (await desk.send("review/reopen", etag='"1"')).status_code == 412
    assert (await desk.send("review/reopen", role=Role.VIEWER)).status_code == 403


async def test_what_is_required_must_be_there_before_a_submit(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    path = f"/v1/projects/{stage.project}/ontology"
    tree = await stage.get(path)
    person = {**tree["tools"][0], "required": True}
    person["classifications"] = [{**person["classifications"][0], "required": True}]
    tree = {"tools": [person, *tree["tools"][1:]], "classifications": tree["classifications"]}
    assert (await stage.client.put(path, json=tree, headers={"If-Match": '"1"'})).status_code == 200
    run_id = await stage.finished({0: [("person", 0.9)]})
    desk = Desk(stage, run_id, await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"))
    nothing = await desk.send("review/submit", {})
    assert (nothing.json()["code"], len(nothing.json()["errors"])) == ("review_incomplete", 1)
    add = {"action": "add", "feature_schema_id": stage.features["Person"], "annotation": BOX}
    assert errors(await desk.decide(add), 422) == {"/decisions/0/classifications": "required_missing"}
    # A model need not know the answer; who submits must give it.
    review = await desk.decided({"action": "accept", "pre_label_id": desk.ids[0]})
    assert errors(await desk.send("review/submit", {}), 422) == {"": "required_missing"}
    sits = {"kind": "radio", "option_id": stage.features["Person/pose/sits"]}
    pose = {"feature_schema_id": stage.features["Person/pose"], "annotation": sits}
    edit = {"action": "edit", "label_id": review["labels"][0]["id"], "classifications": [pose]}
    assert (await desk.decided(edit, submit=True))["state"] == "submitted"


def _stored(annotation: Any) -> Any:
    """Without what the answer fills in."""
    return {name: value for name, value in annotation.items() if value is not None}


def _settled(label: Any) -> Any:
    return {name: value for name, value in label.items() if name != "updated_at"}


def _text(words: str) -> dict[str, str]:
    return {"kind": "free_text", "text": words}


def _mask(height: int, width: int) -> dict[str, Any]:
    return {"kind": "mask", "size": [height, width], "counts": chr(48 + height * width)}
