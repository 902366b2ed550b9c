from typing import Any

import pytest

from services.api.access.principal import Role
from tests.integration.api.imports import box, imported, lines, said
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def _labelled(stage: Stage, content: bytes, **query: Any) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    submitted, ended = await imported(stage, "labels", content, **query)
    assert ended["state"] == "succeeded", ended
    return await said(stage, submitted["operation_id"]), ended["result"]


def _statuses(report: dict[int, dict[str, Any]]) -> list[str]:
    return [report[number]["status"] for number in sorted(report)]


async def test_labels_come_in_and_a_repeat_changes_nothing(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    content = lines(
        [
            box("000.jpg", "Person", uuid="a"),
            box("000.jpg", "Person", bbox={"left": 5, "top": 5, "width": 1, "height": 1}),
            {"dataRow": {"globalKey": "001.jpg"}, "name": "scene", "answer": {"name": "Indoors"}},
        ]
    )
    report, result = await _labelled(stage, content)
    assert _statuses(report) == ["created"] * 3
    assert (result["created"], result["failed"]) == (3, 0)
    labels = await stage.pages(f"/v1/projects/{stage.project}/labels")
    assert {one["id"] for one in labels} == {one["label_id"] for one in report.values()}
    assert {one["provenance"]["source"] for one in labels} == {"import"}
    review = await stage.get(f"/v1/data-rows/{stage.rows[0]}/review")
    assert (review["revision"], len(review["labels"])) == (1, 2)

    again, result = await _labelled(stage, content)
    assert _statuses(again) == ["unchanged"] * 3
    assert [again[number]["label_id"] for number in again] == [report[number]["label_id"] for number in again]
    assert await stage.pages(f"/v1/projects/{stage.project}/labels") == labels
    assert (await stage.get(f"/v1/data-rows/{stage.rows[0]}/review"))["revision"] == 1


async def test_what_people_settled_stays(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    first = [box("000.jpg", "Person", uuid="a"), box("000.jpg", "Person", uuid="b")]
    report, _ = await _labelled(stage, lines(first))
    labeler = api.as_(workspace, Role.LABELER)
    edit = {
        "action": "edit",
        "label_id": report[1]["label_id"],
        "annotation": {"kind": "bounding_box", "left": 9, "top": 9, "width": 9, "height": 9},
    }
    delete = {"action": "delete", "label_id": report[2]["label_id"]}
    decided = await labeler.post(
        f"/v1/data-rows/{stage.rows[0]}/decisions", json={"decisions": [edit, delete]}, headers={"If-Match": '"1"'}
    )
    assert decided.status_code == 201, decided.text
    before = await stage.get(f"/v1/data-rows/{stage.rows[0]}/review")
    report, result = await _labelled(stage, lines(first))
    assert _statuses(report) == ["conflict", "deleted"]
    assert (result["created"], result["conflict"], result["deleted"]) == (0, 1, 1)
    assert await stage.get(f"/v1/data-rows/{stage.rows[0]}/review") == before


async def test_a_radio_has_one_answer(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)

    def scene(name: str, uuid: str) -> dict[str, Any]:
        return {"dataRow": {"globalKey": "000.jpg"}, "name": "scene", "answer": {"name": name}, "uuid": uuid}

    report, _ = await _labelled(stage, lines([scene("Indoors", "a"), scene("Outdoors", "b")]))
    assert _statuses(report) == ["created", "failed"]
    assert report[2]["error"]["code"] == "already_answered"
    report, _ = await _labelled(stage, lines([scene("Outdoors", "c")]))
    assert report[1]["error"]["code"] == "already_answered"


async def test_wrong_labels_fail_alone(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    polygon = {"dataRow": {"globalKey": "000.jpg"}, "name": "Person", "polygon": [{"x": 1, "y": 1}] * 3}
    report, _ = await _labelled(stage, lines([box("000.jpg", "Person"), polygon, box("000.jpg", "Nobody")]))
    assert _statuses(report) == ["created", "failed", "failed"]
    assert report[3]["error"] == {
        "code": "unknown_feature", "detail": "the ontology has no feature 'Nobody'", "pointer": "/name",
    }  # fmt: skip


async def test_a_submitted_data_row_takes_no_more(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    labeler = api.as_(workspace, Role.LABELER)
    done = await labeler.post(f"/v1/data-rows/{stage.rows[0]}/review/submit", json={}, headers={"If-Match": '"0"'})
    assert done.status_code == 200, done.text
    report, _ = await _labelled(stage, lines([box("000.jpg", "Person"), box("001.jpg", "Person")]))
    assert _statuses(report) == ["failed", "created"]
    assert report[1]["error"]["code"] == "review_submitted"
