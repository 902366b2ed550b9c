"""Operations through the front door."""

from uuid import UUID

import httpx2
import pytest

from services.api.access.principal import Role
from shared.database.operations import NewOperation, add_operation
from shared.database.unit_of_work import unit_of_work
from tests.support.api import Api, Workspace
from tests.support.operations import KIND

pytestmark = pytest.mark.asyncio


async def _add(api: Api, workspace: Workspace, project_id: str | None = None) -> str:
    member_id = workspace.members[Role.EDITOR]
    wanted = NewOperation(KIND, workspace.id, UUID(project_id) if project_id else None, {"secret": 1}, member_id)
    async with unit_of_work(api.resources.sessions, api.resources.signals, "member:test") as work:
        return str((await add_operation(work, wanted)).id)


async def _project(client: httpx2.AsyncClient) -> str:
    made = await client.post("/v1/projects", json={"name": "p", "media_type": "image"})
    return str(made.json()["id"])


async def test_an_operation_is_shown_listed_and_cancelled_once(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient, viewer: httpx2.AsyncClient
) -> None:
    project = await _project(admin)
    first, second = await _add(api, workspace, project), await _add(api, workspace)
    shown = (await viewer.get(f"/v1/operations/{first}")).json()
    assert (shown["kind"], shown["state"], shown["project_id"]) == (KIND, "queued", project)
    assert shown["progress"] == {"done": 0, "total": None, "stage": None}
    assert (shown["result"], shown["problem"], shown["finished_at"]) == (None, None, None)
    assert "parameters" not in shown

    assert [one["id"] for one in (await viewer.get("/v1/operations")).json()["items"]] == [second, first]
    page = (await viewer.get("/v1/operations", params={"page_size": 1})).json()
    assert [one["id"] for one in page["items"]] == [second]
    token = {"page_size": 1, "page_token": page["next_page_token"]}
    rest = (await viewer.get("/v1/operations", params=token)).json()
    assert ([one["id"] for one in rest["items"]], rest["next_page_token"]) == ([first], None)
    for query, found in (
        ({"project_id": project}, [first]),
        ({"kind": KIND}, [second, first]),
        ({"kind": "other"}, []),
        ({"state": "succeeded"}, []),
        ({"state": "queued", "kind": KIND, "project_id": project}, [first]),
    ):
        listed = (await viewer.get("/v1/operations", params=query)).json()["items"]
        assert [one["id"] for one in listed] == found, query

    assert (await viewer.post(f"/v1/operations/{first}/cancel")).status_code == 403
    cancelled = await admin.post(f"/v1/operations/{first}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert cancelled.json()["finished_at"]
    again = await admin.post(f"/v1/operations/{first}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
    assert (again.json()["state"], again.json()["allowed"]) == ("cancelled", [])
    events = (await admin.get(f"/v1/projects/{project}/events")).json()["items"]
    assert [one["event"]["type"] for one in events if one["event"]["subject"]["id"] == first] == ["operation.cancelled"]


async def test_operations_of_others_and_of_deleted_projects_are_not_found(
    api: Api, workspace: Workspace, elsewhere: Workspace, admin: httpx2.AsyncClient
) -> None:
    theirs = await _add(api, elsewhere)
    assert (await admin.get(f"/v1/operations/{theirs}")).status_code == 404
    assert (await admin.post(f"/v1/operations/{theirs}/cancel")).status_code == 404
    assert (await admin.get("/v1/operations")).json()["items"] == []
    project = await _project(admin)
    mine = await _add(api, workspace, project)
    assert (await admin.delete(f"/v1/projects/{project}")).status_code == 204
    assert (await admin.get(f"/v1/operations/{mine}")).status_code == 404
    assert (await admin.get("/v1/operations", params={"project_id": project})).json()["items"] == []
