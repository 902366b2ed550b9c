import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from services.api.access.principal import Role
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def _stage(api: Api, workspace: Workspace) -> tuple[Stage, str, list[dict[str, Any]]]:
    """Two rows with pre-labels; the first pre-label of the first row is accepted, its second rejected."""
    stage = await make_stage(api, workspace)
    run_id = await stage.finished({0: [("person", 0.9), ("cat", 0.8)], 1: [("person", 0.7)]})
    pre_labels = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    actions = ("accept", "reject")
    body = {"decisions": [{"pre_label_id": pre_labels[at]["id"], "action": actions[at]} for at in (0, 1)]}
    answer = await api.as_(workspace, Role.LABELER).post(
        f"/v1/data-rows/{stage.rows[0]}/decisions", json=body, headers={"If-Match": '"0"'}
    )
    assert answer.status_code == 201, answer.text
    return stage, str(run_id), pre_labels


async def _export(stage: Stage, **query: Any) -> httpx2.Response:
    client = stage.api.as_(stage.workspace, Role.VIEWER)
    return await client.get(f"/v1/projects/{stage.project}/export", params=query)


def _lines(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_labels_leave_whole_in_our_own_format(api: Api, workspace: Workspace) -> None:
    stage, run_id, pre_labels = await _stage(api, workspace)
    answer = await _export(stage)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == f'attachment; filename="{stage.project}-labels.ndjson"'
    header, row, end = _lines(answer)
    assert header["project"]["id"] == str(stage.project)
    assert header["ontology"]["tools"]
    assert end == {"type": "end", "data_rows": 1, "labels": 1}
    (label,) = row["labels"]
    assert row["data_row"]["id"] == str(stage.rows[0])
    assert label["annotation"] == {name: one for name, one in pre_labels[0]["annotation"].items() if one is not None}
    assert label["provenance"]["model_run_id"] == run_id
    assert [one["action"] for one in row["decisions"]] == ["accept", "reject"]
    assert row["decisions"][1]["shown"]["model_class"] == "cat"


async def test_pre_labels_leave_with_confidence_and_what_was_decided(api: Api, workspace: Workspace) -> None:
    stage, run_id, pre_labels = await _stage(api, workspace)
    _, *rows, end = _lines(await _export(stage, what="pre_labels", run=run_id))
    assert end["labels"] == 3
    found = {one["id"]: one for row in rows for one in row["labels"]}
    assert {one: found[one]["confidence"] for one in found} == {one["id"]: one["confidence"] for one in pre_labels}
    assert [found[one["id"]]["provenance"]["state"] for one in pre_labels] == ["accepted", "rejected", "pending"]
    _, only, _ = _lines(await _export(stage, what="pre_labels", run=run_id, state="rejected"))
    assert [one["id"] for one in only["labels"]] == [pre_labels[1]["id"]]


async def test_labelbox_lines_and_what_they_lose(api: Api, workspace: Workspace) -> None:
    stage, _, pre_labels = await _stage(api, workspace)
    (line,) = _lines(await _export(stage, format="labelbox"))
    box = pre_labels[0]["annotation"]
    assert line["name"] == "Person"
    assert line["bbox"] == {name: box[name] for name in ("top", "left", "height", "width")}
    client = stage.api.as_(stage.workspace, Role.VIEWER)
    report = (await client.get(f"/v1/projects/{stage.project}/export/report", params={"format": "labelbox"})).json()
    assert (report["data_rows"], report["labels"]) == (1, 1)
    assert {one["about"]: one["count"] for one in report["losses"]} == {"provenance": 1}


async def test_filters(api: Api, workspace: Workspace) -> None:
    stage, run_id, _ = await _stage(api, workspace)

    async def counted(**query: Any) -> tuple[int, int]:
        *_, end = _lines(await _export(stage, **query))
        return end["data_rows"], end["labels"]

    assert await counted(run=run_id) == (1, 1)
    assert await counted(feature=stage.features["Person"]) == (1, 1)
    assert await counted(feature=stage.features["Cats"]) == (0, 0)
    assert await counted(since="2999-01-01T00:00:00Z") == (0, 0)
    assert await counted(submitted=True) == (0, 0)
    every = await counted(empty_rows=True)
    assert every == (len(stage.rows), 1)


async def test_what_is_wrong_is_listed(api: Api, workspace: Workspace) -> None:
    stage, _, _ = await _stage(api, workspace)
    answer = await _export(stage, format="nothing", what="pre_labels", batch=str(uuid4()))
    assert answer.status_code == 422
    assert {one["pointer"]: one["code"] for one in answer.json()["errors"]} == {
        "/format": "unknown_format", "/run": "missing", "/batch": "unknown_batch",
    }  # fmt: skip
    answer = await _export(stage, surprise="1", run=str(uuid4()))
    assert {one["pointer"]: one["code"] for one in answer.json()["errors"]} == {
        "/surprise": "extra_forbidden", "/run": "unknown_run",
    }  # fmt: skip


async def test_only_so_many_at_once(api: Api, workspace: Workspace) -> None:
    stage, _, _ = await _stage(api, workspace)
    places = api.resources.exports
    places.taken = places.most
    assert (await _export(stage)).status_code == 429
    places.taken = 0
    assert (await _export(stage)).status_code == 200
    assert places.taken == 0
