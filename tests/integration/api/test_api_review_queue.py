"""The review queue: its orders, and that no two people get the same data row."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.api.access.principal import Role
from services.api.access.schemas import ApiKeyCreate, MemberCreate
from services.api.access.service import add_api_key, add_member
from services.api.worker import OPERATIONS
from shared.database.unit_of_work import unit_of_work
from tests.integration.api.desk import Desk, errors
from tests.integration.api.stage import Stage, make_stage
from tests.integration.api.test_api_realign import realign
from tests.support.api import Api, Workspace
from tests.support.operations import operating, until_state

pytestmark = pytest.mark.asyncio

SAID = {
    0: [("person", 0.9)],
    1: [("person", 0.95), ("person", 0.55)],
    2: [("person", 0.48)],
    3: [("person", 0.6), ("cat", 0.6), ("person", 0.61)],
}


def queue(stage: Stage) -> str:
    return f"/v1/projects/{stage.project}/review-queue"


async def order(stage: Stage, by: str, **more: Any) -> list[int]:
    """The places of the data rows, page by page."""
    found = await stage.pages(queue(stage), order=by, page_size=2, **more)
    return [stage.rows.index(UUID(one["data_row_id"])) for one in found]


async def reserve(stage: Stage, role: Role = Role.LABELER, **body: Any) -> list[int]:
    client = stage.api.as_(stage.workspace, role)
    answer = await client.post(f"{queue(stage)}/reserve", json=body)
    assert answer.status_code == 200, answer.text
    return [stage.rows.index(UUID(one["data_row_id"])) for one in answer.json()["items"]]


async def test_orders_by_what_the_model_was_unsure_of(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=6)
    run_id = await stage.finished(SAID)
    # Two rows without anything are the surest; newest first among equals.
    assert await order(stage, "uncertainty") == [2, 1, 3, 0, 5, 4]
    assert await order(stage, "least_confidence", model_run_id=str(run_id)) == [2, 1, 3, 0, 5, 4]
    assert await order(stage, "margin") == [2, 1, 3, 0, 5, 4]
    assert await order(stage, "entropy") == [3, 1, 2, 0, 5, 4]
    assert await order(stage, "position") == [0, 1, 2, 3, 4, 5]
    assert await order(stage, "uncertainty", feature_schema_id=stage.features["Cats"]) == [3]
    items = (await stage.get(queue(stage), order="uncertainty"))["items"]
    first = items[0]
    assert (first["score"], first["revision"], first["reserved_by"]) == (pytest.approx(0.52), 0, None)
    assert [(one["model_class"], one["state"]) for one in items[1]["pre_labels"]] == [("person", "pending")] * 2

    # Another threshold is another order.
    assert (await realign(stage, run_id, {"threshold": 0.58})).status_code == 200
    assert await order(stage, "uncertainty") == [3, 0, 1, 5, 4, 2]
    # Of several runs, the least sure counts, and a data row is listed once.
    await stage.finished({0: [("person", 0.5)], 3: [("person", 0.99)]})
    assert await order(stage, "uncertainty") == [0, 3, 1, 5, 4, 2]
    assert await order(stage, "uncertainty", model_run_id=str(run_id)) == [3, 0, 1, 5, 4, 2]


async def test_what_is_submitted_leaves_the_queue_and_comes_back(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=3)
    run_id = await stage.finished(SAID)
    desk = Desk(stage, run_id, await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"), row=2)
    await desk.decided({"action": "accept", "pre_label_id": desk.ids[0]}, submit=True)
    for by in ("uncertainty", "position", "priority"):
        assert 2 not in await order(stage, by)
    # Also by a run made later, whose results know nothing of reviews.
    await stage.finished(SAID)
    assert await order(stage, "uncertainty") == [1, 0]
    assert await reserve(stage, count=5) == [1, 0]
    assert (await desk.send("review/reopen")).status_code == 200
    assert await order(stage, "uncertainty") == [2], "the others are held"
    assert await reserve(stage, count=5) == [1, 0, 2]


async def test_batches_by_priority(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=6)

    async def batch(name: str, priority: int, *rows: int) -> str:
        body = {"name": name, "priority": priority, "data_row_ids": [str(stage.rows[row]) for row in rows]}
        answer = await stage.client.post(f"/v1/projects/{stage.project}/batches", json=body)
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found

    late, urgent = await batch("late", 4, 0, 3), await batch("urgent", 1, 3, 5)
    assert await order(stage, "priority") == [3, 5, 0, 1, 2, 4]
    assert await order(stage, "priority", batch_id=late) == [0, 3]
    assert await order(stage, "position", batch_id=urgent) == [3, 5]
    run_id = await stage.finished(SAID)
    assert await order(stage, "uncertainty", batch_id=urgent, model_run_id=str(run_id)) == [3, 5]
    assert await reserve(stage, order="priority", count=3) == [3, 5, 0]


async def test_disagreement_is_an_operation_and_then_an_order(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=4)
    first = await stage.finished({0: [("person", 0.9)], 1: [("person", 0.9), ("cat", 0.9)], 2: [("person", 0.8)]})
    second = await stage.finished({0: [("person", 0.6)], 1: [("person", 0.7)], 3: []})
    refused = await stage.client.get(queue(stage), params={"order": "disagreement"})
    assert (refused.status_code, refused.json()["code"]) == (409, "runs_not_compared")
    path = f"/v1/projects/{stage.project}/run-comparisons"
    wrong = await stage.client.post(path, json={"model_run_ids": [str(first), str(first), str(uuid4())]})
    assert errors(wrong, 422) == {
        "/model_run_ids/1": "duplicate_model_run",
        "/model_run_ids/2": "unknown_model_run",
    }
    resources = api.resources
    async with operating(resources.sessions, resources.signals, OPERATIONS):
        for _ in range(2):
            answer = await stage.client.post(path, json={"model_run_ids": [str(first), str(second)]})
            assert answer.status_code == 202, answer.text
            ended = await until_state(resources.sessions, UUID(answer.json()["id"]), "succeeded", "failed")
            assert ended.state == "succeeded", ended.problem
    found = (await stage.get(queue(stage), order="disagreement"))["items"]
    places = [(stage.rows.index(UUID(one["data_row_id"])), one["score"]) for one in found]
    assert places == [(2, 1.0), (1, 0.5), (3, 0.0), (0, 0.0)]
    assert await reserve(stage, order="disagreement", count=1) == [2]
    async with resources.sessions() as session:
        assert (
            await session.scalar(
                text("SELECT count(*) FROM run_comparisons WHERE project_id = :p"), {"p": UUID(stage.project)}
            )
            == 1
        )


async def test_reservations_are_held_renewed_released_and_run_out(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=4)
    await stage.finished(SAID)
    assert await reserve(stage) == [2]
    assert await reserve(stage) == [2], "what one holds comes first"
    assert await reserve(stage, count=2) == [2, 1]
    assert await reserve(stage, role=Role.EDITOR) == [3]
    listed = (await stage.api.as_(workspace, Role.EDITOR).get(queue(stage))).json()["items"]
    assert [stage.rows.index(UUID(one["data_row_id"])) for one in listed] == [3, 0]
    held = f"/v1/data-rows/{stage.rows[2]}/reservation"
    editor, labeler = api.as_(workspace, Role.EDITOR), api.as_(workspace, Role.LABELER)
    refused = await editor.put(held, json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "reserved")
    longer = await labeler.put(held, json={"minutes": 60})
    assert longer.json()["reserved_by"] == str(workspace.members[Role.LABELER])
    # Time passes: by the database's clock, so that is set.
    async with api.resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE data_row_reviews SET reserved_until = now() - interval '1 s' WHERE data_row_id = :row"),
            {"row": stage.rows[2]},
        )
    assert await reserve(stage, role=Role.EDITOR, count=2) == [3, 2]
    assert (await labeler.put(held, json={})).status_code == 409
    assert (await labeler.delete(held)).status_code == 204, "not theirs any more: nothing happens"
    assert (await labeler.put(held, json={})).status_code == 409
    assert (await editor.delete(held)).status_code == 204
    assert (await labeler.put(held, json={})).status_code == 200
    assert (await api.as_(workspace, Role.VIEWER).put(held, json={})).status_code == 403


async def test_filters_that_name_nothing_and_foreign_projects(
    api: Api, workspace: Workspace, elsewhere: Workspace
) -> None:
    stage = await make_stage(api, workspace)
    body = {"model_run_id": str(uuid4()), "batch_id": str(uuid4()), "feature_schema_id": str(uuid4())}
    answer = await stage.client.post(f"{queue(stage)}/reserve", json=body)
    assert errors(answer, 422) == {
        "/model_run_id": "unknown_model_run",
        "/batch_id": "unknown_batch",
        "/feature_schema_id": "unknown_feature",
    }
    theirs = api.as_(elsewhere)
    assert (await theirs.get(queue(stage))).status_code == 404
    assert (await theirs.post(f"{queue(stage)}/reserve", json={})).status_code == 404
    assert (await theirs.put(f"/v1/data-rows/{stage.rows[0]}/reservation", json={})).status_code == 404
    assert (await theirs.delete(f"/v1/data-rows/{stage.rows[0]}/reservation")).status_code == 404


async def test_many_reviewers_at_once_never_share_a_row(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=60)
    await stage.finished({place: [("person", 0.5 + place / 200)] for place in range(60)})
    keys = []
    async with unit_of_work(api.resources.sessions, api.resources.signals, "service:tests") as work:
        for number in range(12):
            member = await add_member(work.session, workspace.id, MemberCreate(name=f"{number}", role=Role.LABELER))
            _, secret = await add_api_key(work, member, ApiKeyCreate(name="key"))
            keys.append(str(secret))
    clients = [api.with_key(key) for key in keys]

    async def take(number: int) -> list[str]:
        answer = await clients[number].post(f"{queue(stage)}/reserve", json={"count": 4})
        assert answer.status_code == 200, answer.text
        return [one["data_row_id"] for one in answer.json()["items"]]

    taken = await asyncio.gather(*map(take, range(12)))
    rows = [row for of_one in taken for row in of_one]
    assert len(set(rows)) == len(rows)
    assert [len(of_one) for of_one in taken] == [4] * 12
