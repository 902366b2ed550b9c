import asyncio
import json
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import func, select, update

from services.api.access.principal import Role
from shared.database.tables import IdempotencyKeyRow, ProjectRow
from shared.database.unit_of_work import unit_of_work
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio

BODY = {"name": "once", "media_type": "image"}
KEY = {"Idempotency-Key": "k-1"}


async def count_projects(api: Api, workspace: Workspace) -> int:
    async with api.resources.sessions() as session:
        found = select(func.count()).select_from(ProjectRow).where(ProjectRow.workspace_id == workspace.id)
        return int((await session.execute(found)).scalar_one())


async def test_repeat_gets_the_first_answer(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    first = await admin.post("/v1/projects", json=BODY, headers=KEY)
    again = await admin.post("/v1/projects", json=BODY, headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for header in ("location", "etag", "content-type"):
        assert again.headers[header] == first.headers[header]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await count_projects(api, workspace) == 1


async def test_a_key_counts_for_any_json(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    headers = {**KEY, "Content-Type": "application/vnd.api+json"}
    answers = [await admin.post("/v1/projects", content=json.dumps(BODY), headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert await count_projects(api, workspace) == 1


async def test_a_hundred_twins_make_one_project(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(admin.post("/v1/projects", json=BODY, headers=KEY) for _ in range(100)))
    made = [answer for answer in answers if answer.status_code == 201]
    waiting = [answer for answer in answers if answer.status_code != 201]
    assert len({answer.content for answer in made}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in made) == 1
    refused = {(answer.status_code, answer.json()["code"]) for answer in waiting}
    assert refused <= {(409, "idempotency_key_in_use"), (429, "too_many_in_flight")}
    assert await count_projects(api, workspace) == 1


async def test_other_body_is_refused(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    await admin.post("/v1/projects", json=BODY, headers=KEY)
    other = await admin.post("/v1/projects", json={**BODY, "name": "twice"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await count_projects(api, workspace) == 1


async def test_refusals_are_not_kept(admin: httpx2.AsyncClient) -> None:
    wrong = await admin.post("/v1/projects", json={**BODY, "media_type": "video"}, headers=KEY)
    assert wrong.status_code == 422
    assert (await admin.post("/v1/projects", json=BODY, headers=KEY)).status_code == 201
    path = (await admin.post("/v1/projects", json=BODY)).headers["location"] + "/batches"
    batch = {"name": "b", "all": True}
    assert (await admin.post(path, json=batch, headers=KEY)).json()["code"] == "no_data_rows"
    item = {"global_key": "a", "uri": "https://images.example.org/a.jpg"}
    await admin.post(path.replace("batches", "data-rows"), json={"items": [item]})
    assert (await admin.post(path, json=batch, headers=KEY)).status_code == 201


async def test_keys_belong_to_workspace_and_path(api: Api, elsewhere: Workspace, admin: httpx2.AsyncClient) -> None:
    mine = await admin.post("/v1/projects", json=BODY, headers=KEY)
    theirs = await api.as_(elsewhere).post("/v1/projects", json=BODY, headers=KEY)
    assert theirs.json()["id"] != mine.json()["id"]
    member = await admin.post("/v1/members", json={"name": "x", "role": "viewer"}, headers=KEY)
    assert member.status_code == 201


async def test_answer_is_not_given_to_a_role_that_could_not_ask(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    await admin.post("/v1/members", json={"name": "x", "role": "viewer"}, headers=KEY)
    editor = api.as_(workspace, Role.EDITOR)
    answer = await editor.post("/v1/members", json={"name": "x", "role": "viewer"}, headers=KEY)
    assert answer.status_code == 403


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"with space", "ü".encode()])
async def test_unusable_keys_are_refused(admin: httpx2.AsyncClient, key: bytes) -> None:
    answer = await admin.post("/v1/projects", json=BODY, headers={b"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


async def test_answer_and_effect_are_stored_together(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the answer cannot be stored")

    with monkeypatch.context() as patched:
        patched.setattr("services.api.idempotency.Claim.keep", fail)
        assert (await admin.post("/v1/projects", json=BODY, headers=KEY)).status_code == 500
    assert await count_projects(api, workspace) == 0
    assert (await admin.post("/v1/projects", json=BODY, headers=KEY)).status_code == 201


async def test_key_is_forgotten_after_a_day(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    first = await admin.post("/v1/projects", json=BODY, headers=KEY)
    async with unit_of_work(api.resources.sessions, api.resources.signals, "service:tests") as work:
        mine = IdempotencyKeyRow.workspace_id == workspace.id
        old = func.now() - timedelta(hours=24, seconds=1)
        await work.session.execute(update(IdempotencyKeyRow).where(mine).values(created_at=old))
    again = await admin.post("/v1/projects", json={**BODY, "name": "later"}, headers=KEY)
    assert (again.status_code, again.json()["id"] != first.json()["id"]) == (201, True)
    async with api.resources.sessions() as session:
        kept = list(await session.scalars(select(IdempotencyKeyRow.body).where(mine)))
    assert kept == [again.content]
