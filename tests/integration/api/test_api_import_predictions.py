from typing import Any
from uuid import uuid4

import orjson
import pytest

from services.api.access.principal import Role
from tests.integration.api.imports import NDJSON, box, imported, lines, operation, said, upload
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def _predicted(stage: Stage, content: bytes, **query: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return await imported(stage, "predictions", content, source="our-detector", source_version="7", **query)


async def test_predictions_become_a_run_like_any(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    pose = [{"name": "pose", "answer": {"name": "stands", "classifications": [{"name": "number", "answer": "12"}]}}]
    content = lines(
        [
            box("000.jpg", "person", uuid="a", confidence=0.9, classifications=pose),
            box("001.jpg", "unicorn", confidence=0.8),
            {"dataRow": {"globalKey": "001.jpg"}, "name": "scene", "answer": {"name": "Indoors", "confidence": 0.7}},
            {"dataRow": {"globalKey": "001.jpg"}, "name": "seen", "answer": [{"name": "cat"}, {"name": "dog"}]},
            box("000.jpg", "Person", confidence=0.2),
        ]
    )
    submitted, ended = await _predicted(stage, content)
    assert ended["state"] == "succeeded", ended
    assert {name: ended["result"][name] for name in ("read", "created", "failed", "data_rows")} == {
        "read": 5, "created": 5, "failed": 0, "data_rows": 2,
    }  # fmt: skip
    run = await stage.get(f"/v1/model-runs/{submitted['model_run_id']}")
    assert (run["purpose"], run["state"], run["total"], run["succeeded"], run["detections"]) == (
        "import", "completed", 2, 2, 5,
    )  # fmt: skip
    assert run["source"]["name"] == "our-detector"
    assert run["source"]["version"] == "7"
    path = f"/v1/model-runs/{run['id']}"
    pre_labels = await stage.pages(f"{path}/pre-labels")
    assert [(one["global_key"], one["feature_name"], one["model_class"], one["confidence"]) for one in pre_labels] == [
        ("000.jpg", "Person", "person", 0.9),
        ("000.jpg", "Person", "Person", 0.2),
        ("001.jpg", "scene", "scene", 0.7),
        ("001.jpg", "seen", "seen", 1.0),
    ]
    answers = {one["feature_schema_id"]: one["annotation"] for one in pre_labels[0]["classifications"]}
    assert answers[stage.features["Person/pose"]]["option_id"] == stage.features["Person/pose/stands"]
    assert answers[stage.features["Person/pose/stands/number"]]["text"] == "12"
    ledger = {one["model_class"]: one for one in (await stage.get(f"{path}/ledger"))["classes"]}
    assert ledger["unicorn"]["dropped"] == {"unmapped": 1}
    assert sum(one["raw"] for one in ledger.values()) == 5
    outcomes = await stage.pages(f"{path}/outcomes")
    assert [(one["global_key"], one["state"], one["detections"]) for one in outcomes] == [
        ("000.jpg", "succeeded", 2), ("001.jpg", "succeeded", 3),
    ]  # fmt: skip
    report = await said(stage, submitted["operation_id"])
    assert report[1]["id"] == "a"
    assert report[1]["pre_label_id"] == pre_labels[0]["id"]
    assert {one["status"] for one in report.values()} == {"created"}
    # Reviewed like any.
    body = {"decisions": [{"pre_label_id": pre_labels[0]["id"], "action": "accept"}]}
    decided = await api.as_(workspace, Role.LABELER).post(
        f"/v1/data-rows/{stage.rows[0]}/decisions", json=body, headers={"If-Match": '"0"'}
    )
    assert decided.status_code == 201, decided.text
    assert decided.json()["labels"][0]["provenance"]["model_run_id"] == run["id"]


async def test_wrong_lines_fail_alone_and_say_where(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    content = lines(
        [
            box("000.jpg", "Person"),
            box("nowhere.jpg", "Person", uuid="b"),
            box("000.jpg", "Person", bbox={"left": 1, "top": 2, "width": 0, "height": 4}),
            {"dataRow": {"globalKey": "000.jpg"}, "name": "scene", "answer": {"name": "Space"}},
            box("000.jpg", "Person", confidence=7),
            {"dataRow": {"globalKey": "000.jpg"}, "name": "Person", "location": {"start": 1, "end": 2}},
            {"dataRow": {"id": str(uuid4()), "globalKey": "000.jpg"}, "name": "Person"},
        ]
    )
    submitted, ended = await _predicted(stage, content + b"{nonsense\n")
    assert ended["state"] == "succeeded"
    assert (ended["result"]["created"], ended["result"]["failed"]) == (1, 7)
    report = await said(stage, submitted["operation_id"])
    assert {number: one["error"]["code"] for number, one in report.items() if one["status"] == "failed"} == {
        2: "unknown_data_row",
        3: "invalid_value",
        4: "unknown_feature",
        5: "invalid_confidence",
        6: "does_not_fit_media_type",
        7: "data_row_missing",
        8: "malformed_json",
    }
    assert report[2]["id"] == "b"
    assert report[4]["error"]["pointer"] == "/answer"
    assert {one["line"] for one in ended["result"]["errors"]} == set(report) - {1}


async def test_the_same_upload_is_the_same_run(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    content = lines([box("000.jpg", "Person")])
    first, _ = await _predicted(stage, content)
    again = await upload(stage, "predictions", content, source="our-detector", source_version="7")
    assert again.status_code == 202
    assert again.json() == {**first, "repeated": True}
    other = await upload(stage, "predictions", content, source="our-detector", source_version="8")
    assert other.json()["model_run_id"] != first["model_run_id"]
    undone = await stage.client.delete(f"/v1/model-runs/{first['model_run_id']}/pre-labels")
    assert undone.status_code == 200, undone.text
    after = await upload(stage, "predictions", content, source="our-detector", source_version="7")
    assert after.json()["model_run_id"] != first["model_run_id"]


async def test_an_upload_of_nothing_usable_fails_with_its_run(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    submitted, ended = await _predicted(stage, lines([box("nowhere.jpg", "Person")]))
    assert (ended["state"], ended["problem"]["code"]) == ("failed", "nothing_imported")
    assert ended["problem"]["errors"][0]["code"] == "unknown_data_row"
    run = await stage.get(f"/v1/model-runs/{submitted['model_run_id']}")
    assert run["state"] == "failed"
    events = (await stage.get(f"/v1/projects/{stage.project}/events", limit=1000))["items"]
    assert [one["event"]["type"] for one in events[-2:]] == ["model_run.failed", "operation.failed"]


async def test_a_cancelled_run_takes_nothing_more(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    answer = await upload(stage, "predictions", lines([box("000.jpg", "Person")]), source="x")
    submitted = answer.json()
    cancelled = await stage.client.post(f"/v1/model-runs/{submitted['model_run_id']}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    ended = await operation(stage, submitted["operation_id"])
    assert (ended["state"], ended["problem"]["code"]) == ("failed", "run_ended")
    assert await stage.pages(f"/v1/model-runs/{submitted['model_run_id']}/pre-labels") == []


async def test_what_is_refused_before_a_byte_is_read(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    assert (await upload(stage, "predictions", b"", source="x")).status_code == 422
    assert (await upload(stage, "predictions", b"{}", source="x", role=Role.LABELER)).status_code == 403
    wrong = await upload(stage, "predictions", b"{}", source="x", format="nothing")
    assert wrong.json()["errors"][0]["code"] == "unknown_format"
    assert (await upload(stage, "predictions", b"{}")).status_code == 422
    client = api.as_(workspace)
    path = f"/v1/projects/{stage.project}/predictions/import?format=labelbox&source=x"
    answer = await client.post(path, content=b"<xml/>", headers={"Content-Type": "text/xml"})
    assert answer.status_code == 415
    assert NDJSON in answer.json()["detail"]


async def test_pre_labels_go_to_another_project_and_come_in_there(api: Api, workspace: Workspace) -> None:
    here, there = await make_stage(api, workspace), await make_stage(api, workspace)
    run_id = await here.finished({0: [("person", 0.9), ("cat", 0.8)], 1: [("person", 0.7)]})
    exported = await here.client.get(
        f"/v1/projects/{here.project}/export", params={"what": "pre_labels", "run": str(run_id), "empty_rows": True}
    )
    submitted, ended = await imported(there, "predictions", exported.content, format="prelabel", source="copy")
    assert (ended["result"]["created"], ended["result"]["failed"], ended["result"]["data_rows"]) == (3, 0, 5)
    before = await here.pages(f"/v1/model-runs/{run_id}/pre-labels")
    after = await there.pages(f"/v1/model-runs/{submitted['model_run_id']}/pre-labels")
    facts = ("global_key", "feature_name", "model_class", "confidence", "annotation", "tool")
    assert [[one[name] for name in facts] for one in after] == [[one[name] for name in facts] for one in before]

    # What it was before it left is kept, and leaves again with it.
    again = await there.client.get(
        f"/v1/projects/{there.project}/export", params={"what": "pre_labels", "run": submitted["model_run_id"]}
    )
    first = orjson.loads(again.content.splitlines()[1])["labels"][0]
    assert first["extras"]["prelabel"]["provenance"]["model_run_id"] == str(run_id)


async def test_withheld_rows_keep_their_predictions_apart(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=40)
    share = await stage.client.put(f"/v1/projects/{stage.project}/withholding", json={"share": 0.5})
    assert share.status_code == 200, share.text
    content = lines([box(f"{n:03}.jpg", "Person", confidence=0.5) for n in range(40)])
    submitted, ended = await _predicted(stage, content)
    assert ended["state"] == "succeeded", ended
    withheld = (await stage.get(f"/v1/projects/{stage.project}/withholding"))["withheld"]
    assert 0 < withheld < 40
    run = await stage.get(f"/v1/model-runs/{submitted['model_run_id']}")
    assert (run["total"], run["succeeded"], run["detections"]) == (40, 40, 40 - withheld)
    assert len(await stage.pages(f"/v1/model-runs/{run['id']}/pre-labels")) == 40 - withheld
    exported = await stage.client.get(
        f"/v1/projects/{stage.project}/export", params={"what": "pre_labels", "run": run["id"]}
    )
    assert orjson.loads(exported.content.splitlines()[-1])["labels"] == 40 - withheld


async def test_thresholds_of_an_import_change_what_it_shows(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    content = lines([box("000.jpg", "Person", confidence=0.3), box("001.jpg", "Person", confidence=0.8)])
    submitted, _ = await _predicted(stage, content)
    path = f"/v1/model-runs/{submitted['model_run_id']}"

    async def change(body: dict[str, Any], version: int) -> Any:
        return await stage.client.patch(f"{path}/alignment", json=body, headers={"If-Match": f'"{version}"'})

    answer = await change({"threshold": 0.5}, 1)
    assert (answer.status_code, answer.headers.get("etag")) == (200, '"2"'), answer.text
    assert [one["confidence"] for one in await stage.pages(f"{path}/pre-labels")] == [0.8]
    answer = await change({"threshold": 0.9, "thresholds": {"Person": 0.1}}, 2)
    assert answer.status_code == 200, answer.text
    assert len(await stage.pages(f"{path}/pre-labels")) == 2
    answer = await change({"threshold": 7, "thresholds": {"Nobody": 0.1}}, 3)
    assert [one["code"] for one in answer.json()["errors"]] == ["class_not_aligned", "threshold_out_of_range"]
    entry = stage.entry("Person", "Cats")
    answer = await change({"alignment": {"entries": [entry]}}, 3)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_model")
