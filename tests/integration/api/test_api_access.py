import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select, update

from services.api.access.principal import Role
from shared.api_keys import sha256_of
from shared.database.event_log import read_events
from shared.database.tables import ApiKeyRow, AuditRow, IdempotencyKeyRow, WebsocketTicketRow
from shared.database.unit_of_work import unit_of_work
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def test_no_key_and_a_wrong_key_are_the_same_401(api: Api, workspace: Workspace) -> None:
    key = workspace.keys[Role.ADMIN]
    wrong = [None, "Bearer", "Bearer x", f"Bearer {key[:-1]}{'0' if key[-1] != '0' else '1'}", f"Basic {key}"]
    for header in wrong:
        answer = await api.client.get("/v1/members", headers={"Authorization": header} if header else {})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "unauthenticated"


async def test_only_admins_see_members_and_keys(api: Api, workspace: Workspace) -> None:
    for role in (Role.VIEWER, Role.LABELER, Role.EDITOR):
        for path in ("/v1/members", "/v1/api-keys"):
            assert (await api.as_(workspace, role).get(path)).status_code == 403
    assert (await api.as_(workspace).get("/v1/members")).status_code == 200


async def test_member_gets_a_key_uses_it_and_loses_it(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    member = (await admin.post("/v1/members", json={"name": " Ada ", "role": "labeler"})).json()
    assert (member["name"], member["role"], member["disabled"]) == ("Ada", "labeler", False)
    made = (await admin.post("/v1/api-keys", json={"name": "laptop", "member_id": member["id"]})).json()
    ada = api.with_key(made["secret"])

    assert (await ada.get("/v1/members")).status_code == 403
    assert (await admin.patch(f"/v1/members/{member['id']}", json={"role": "admin"})).json()["role"] == "admin"
    assert (await ada.get("/v1/members")).status_code == 200

    assert (await admin.patch(f"/v1/members/{member['id']}", json={"disabled": True})).json()["disabled"] is True
    assert (await ada.get("/v1/members")).status_code == 401
    await admin.patch(f"/v1/members/{member['id']}", json={"disabled": False})
    assert (await ada.get("/v1/members")).status_code == 200

    for _ in range(2):
        assert (await admin.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    assert (await ada.get("/v1/members")).status_code == 401

    listed = {key["id"]: key for key in (await admin.get("/v1/api-keys")).json()["items"]}
    assert listed[made["id"]]["revoked_at"] is not None
    assert listed[made["id"]]["last_used_at"] is not None
    assert "secret" not in listed[made["id"]]


async def test_changes_of_access_leave_events_and_an_audit_trail(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    member = (await admin.post("/v1/members", json={"name": "m", "role": "viewer"})).json()
    made = (await admin.post("/v1/api-keys", json={"name": "k", "member_id": member["id"]})).json()
    await admin.patch(f"/v1/members/{member['id']}", json={"disabled": True})
    await admin.delete(f"/v1/api-keys/{made['id']}")
    async with api.resources.sessions() as session:
        events = await read_events(session, workspace.id, 4, 10)
        assert [(e.type, e.subject_id) for e in events] == [
            ("api_key.created", UUID(made["id"])),
            ("api_key.suspended", UUID(made["id"])),
            ("api_key.revoked", UUID(made["id"])),
        ]
        audit = await session.scalars(
            select(AuditRow).where(AuditRow.workspace_id == workspace.id).order_by(AuditRow.id)
        )
        rows = list(audit)
    assert [row.action for row in rows] == ["member.created", "api_key.created", "member.updated", "api_key.revoked"]
    assert {row.actor for row in rows} == {f"member:{workspace.members[Role.ADMIN]}"}


async def test_expired_key_is_refused(api: Api, admin: httpx2.AsyncClient) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    made = (await admin.post("/v1/api-keys", json={"name": "k", "expires_at": soon.isoformat()})).json()
    assert (await api.with_key(made["secret"]).get("/v1/members")).status_code == 200
    async with unit_of_work(api.resources.sessions, api.resources.signals, "service:tests") as work:
        past = func.now() - timedelta(seconds=1)
        await work.session.execute(update(ApiKeyRow).where(ApiKeyRow.id == UUID(made["id"])).values(expires_at=past))
    assert (await api.with_key(made["secret"]).get("/v1/members")).status_code == 401
    late = await admin.post("/v1/api-keys", json={"name": "k", "expires_at": "2020-01-01T00:00:00Z"})
    assert (late.status_code, late.json()["errors"][0]["pointer"]) == (422, "/expires_at")


async def test_last_admin_stays_even_when_two_step_down_at_once(
    workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    me = workspace.members[Role.ADMIN]
    refused = await admin.patch(f"/v1/members/{me}", json={"role": "viewer"})
    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")
    other = (await admin.post("/v1/members", json={"name": "second", "role": "admin"})).json()["id"]
    answers = await asyncio.gather(
        *(admin.patch(f"/v1/members/{member}", json={"role": "viewer"}) for member in (me, other))
    )
    assert sorted(answer.status_code for answer in answers) in ([200, 409], [200, 403])


async def test_secret_is_stored_nowhere(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "make-a-key"}
    first = await admin.post("/v1/api-keys", json={"name": "k"}, headers=headers)
    again = await admin.post("/v1/api-keys", json={"name": "k"}, headers=headers)
    assert first.json()["secret"].startswith("plk_")
    assert again.json() == {**first.json(), "secret": None}
    async with api.resources.sessions() as session:
        stored = await session.scalar(
            select(IdempotencyKeyRow.body).where(IdempotencyKeyRow.workspace_id == workspace.id)
        )
    assert stored is not None
    assert first.json()["secret"].rpartition("_")[2].encode() not in stored


async def test_ticket_is_a_hash_in_the_database_and_goes_with_its_key(
    api: Api, workspace: Workspace, viewer: httpx2.AsyncClient, admin: httpx2.AsyncClient
) -> None:
    answer = await viewer.post("/v1/websocket-tickets")
    assert answer.status_code == 201
    ticket = answer.json()
    assert ticket["url"] == "ws://127.0.0.1:8001/v1/ws"
    async with api.resources.sessions() as session:
        row = await session.get(WebsocketTicketRow, sha256_of(ticket["ticket"]))
        assert row is not None
        assert (row.workspace_id, row.role) == (workspace.id, "viewer")
        left = await session.scalar(select(WebsocketTicketRow.expires_at - func.now()))
    assert left is not None
    assert timedelta(seconds=20) < left <= timedelta(seconds=30)
    await admin.delete(f"/v1/api-keys/{row.api_key_id}")
    async with api.resources.sessions() as session:
        assert await session.get(WebsocketTicketRow, sha256_of(ticket["ticket"])) is None


async def test_members_and_keys_of_others_are_404(api: Api, elsewhere: Workspace, admin: httpx2.AsyncClient) -> None:
    theirs = (await api.as_(elsewhere).post("/v1/api-keys", json={"name": "k"})).json()
    assert (await admin.delete(f"/v1/api-keys/{theirs['id']}")).status_code == 404
    assert (await admin.get(f"/v1/members/{theirs['member_id']}")).status_code == 404
    assert (await admin.patch(f"/v1/members/{theirs['member_id']}", json={"role": "viewer"})).status_code == 404
    foreign = await admin.post("/v1/api-keys", json={"name": "k", "member_id": theirs["member_id"]})
    assert (foreign.status_code, foreign.json()["errors"][0]["pointer"]) == (422, "/member_id")
