"""Webhooks over the api: who may, what is refused and how, what is shown and what is not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select, update

from services.api.access.principal import Role
from shared.database.tables import AuditRow, IdempotencyKeyRow, WebhookCursorRow, WebhookDeliveryRow, WebhookRow
from shared.database.unit_of_work import transaction
from tests.support.api import Api, Workspace, api_settings, running_api

pytestmark = pytest.mark.asyncio

WANTED = {"url": "https://hooks.example.org/prelabel", "event_types": ["model_run.failed", "model_run.completed"]}


async def _made(client: httpx2.AsyncClient) -> str:
    answer = await client.post("/v1/webhooks", json=WANTED)
    assert answer.status_code == 201, answer.text
    return f"/v1/webhooks/{answer.json()['id']}"


async def test_made_changed_and_deleted(api: Api, admin: httpx2.AsyncClient) -> None:
    made = (
        await admin.post("/v1/webhooks", json={**WANTED, "event_types": [*WANTED["event_types"], "model.ready"] * 2})
    ).json()
    path = f"/v1/webhooks/{made['id']}"
    assert made["secret"].startswith("whsec_")
    assert made["event_types"] == ["model.ready", "model_run.completed", "model_run.failed"]
    shown = (await admin.get(path)).json()
    assert {**shown, "secret": made["secret"]} == made
    assert (shown["state"], shown["state_reason"], shown["failing_since"]) == ("active", None, None)

    changed = await admin.patch(path, json={"url": "https://other.example.org/", "state": "off"})
    assert changed.json() == {**shown, "url": "https://other.example.org/", "state": "off"}
    assert (await admin.patch(path, json={})).json() == changed.json()

    others = [await _made(admin) for _ in range(2)]
    first = (await admin.get("/v1/webhooks", params={"page_size": 2})).json()
    rest = (await admin.get("/v1/webhooks", params={"page_size": 2, "page_token": first["next_page_token"]})).json()
    assert [f"/v1/webhooks/{one['id']}" for one in (*first["items"], *rest["items"])] == [path, *others]
    assert all("secret" not in one for one in first["items"])

    assert (await admin.delete(path)).status_code == 204
    for call in (admin.get(path), admin.delete(path), admin.patch(path, json={}), admin.post(f"{path}/test")):
        assert (await call).status_code == 404
    async with api.resources.sessions() as session:
        left = await session.scalars(select(WebhookCursorRow).where(WebhookCursorRow.webhook_id == UUID(made["id"])))
        assert left.all() == []


async def test_who_changed_whom_is_told_is_audited_without_secrets(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    path = await _made(admin)
    await admin.patch(path, json={"url": "https://other.example.org/token-in-here"})
    await admin.post(f"{path}/rotate-secret", json={"overlap_seconds": 60})
    await admin.delete(path)
    async with api.resources.sessions() as session:
        rows = (await session.scalars(select(AuditRow).where(AuditRow.workspace_id == workspace.id))).all()
    assert [(row.action, row.detail) for row in sorted(rows, key=lambda row: row.id)] == [
        ("webhook.created", {"event_types": sorted(WANTED["event_types"])}),
        ("webhook.updated", {"changed": ["url"]}),
        ("webhook.secret_rotated", {"overlap_seconds": 60}),
        ("webhook.deleted", {}),
    ]
    assert {(row.actor, row.subject_kind, f"/v1/webhooks/{row.subject_id}") for row in rows} == {
        (f"member:{workspace.members[Role.ADMIN]}", "webhook", path)
    }


async def test_all_that_is_wrong_is_listed(admin: httpx2.AsyncClient) -> None:
    path = await _made(admin)
    wrong = {"url": "http://10.0.0.1/", "event_types": ["model_run.completed", "x.y", "webhook.tested"]}
    for answer in (await admin.post("/v1/webhooks", json=wrong), await admin.patch(path, json=wrong)):
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [
            ("/url", "host_not_allowed"),
            ("/event_types/1", "unknown_event_type"),
            ("/event_types/2", "unknown_event_type"),
        ]


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "https://user:password@hooks.example.org/",
        "https://hooks.example.org:0/",
        "ftp://hooks.example.org/",
        "hooks.example.org",
        "https://",
    ],
)
async def test_urls_nobody_may_be_told_at(admin: httpx2.AsyncClient, url: str) -> None:
    answer = await admin.post("/v1/webhooks", json={**WANTED, "url": url})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/url")


async def test_a_workspace_has_so_many_at_most(
    api_servers: tuple[str, str], workspace: Workspace, tmp_path: Path
) -> None:
    settings = api_settings(*api_servers, tmp_path / "objects").model_copy(update={"max_webhooks": 1})
    async with running_api(settings) as small:
        client = small.as_(workspace)
        await _made(client)
        answer = await client.post("/v1/webhooks", json=WANTED)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")


async def test_only_what_is_asked_for_is_checked(
    api_servers: tuple[str, str], workspace: Workspace, admin: httpx2.AsyncClient, tmp_path: Path
) -> None:
    """The operator has narrowed the hosts since it was made."""
    path = await _made(admin)
    settings = api_settings(*api_servers, tmp_path / "objects")
    async with running_api(settings.model_copy(update={"allowed_webhook_hosts": ("other.example.org",)})) as narrow:
        client = narrow.as_(workspace)
        for changes in ({"event_types": ["model.ready"]}, {"state": "active"}, {"state": "off"}):
            assert (await client.patch(path, json=changes)).status_code == 200
        refused = await client.patch(path, json={"state": "active"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/url")
        moved = await client.patch(path, json={"state": "active", "url": "https://other.example.org/"})
        assert (moved.status_code, moved.json()["state"]) == (200, "active")


@pytest.mark.parametrize(
    ("changes", "goes_on"),
    [({"url": "https://other.example.org/"}, True), ({"url": WANTED["url"]}, False), ({"state": "active"}, False)],
)
async def test_another_url_tries_at_once_what_waits(
    api: Api, admin: httpx2.AsyncClient, changes: dict[str, str], goes_on: bool
) -> None:
    path = await _made(admin)
    await admin.post(f"{path}/test")
    later = datetime.now(UTC) + timedelta(days=1)
    async with transaction(api.resources.sessions) as session:
        webhook_id = UUID(path.rpartition("/")[2])
        await session.execute(update(WebhookRow).where(WebhookRow.id == webhook_id).values(failing_since=func.now()))
        waiting = update(WebhookDeliveryRow).where(WebhookDeliveryRow.webhook_id == webhook_id)
        await session.execute(waiting.values(next_attempt_at=later))
    changed = (await admin.patch(path, json=changes)).json()
    (shown,) = (await admin.get(f"{path}/deliveries")).json()["items"]
    assert (changed["failing_since"] is None) == goes_on
    assert (datetime.fromisoformat(shown["next_attempt_at"]) < later) == goes_on


async def test_only_admins_and_nobody_elsewhere(
    api: Api, workspace: Workspace, elsewhere: Workspace, admin: httpx2.AsyncClient
) -> None:
    path = await _made(admin)
    delivery = (await admin.post(f"{path}/test")).json()["id"]
    for role in (Role.VIEWER, Role.LABELER, Role.EDITOR):
        client = api.as_(workspace, role)
        for answer in (await client.get("/v1/webhooks"), await client.post(f"{path}/test"), await client.delete(path)):
            assert answer.status_code == 403
    stranger = api.as_(elsewhere)
    assert (await stranger.get("/v1/webhooks")).json()["items"] == []
    theirs = await _made(stranger)
    for answer in (
        await stranger.get(path),
        await stranger.get(f"{path}/deliveries"),
        await stranger.get(f"{path}/deliveries/{delivery}"),
        await stranger.get(f"{theirs}/deliveries/{delivery}"),
        await stranger.post(f"{theirs}/deliveries/{delivery}/redeliver"),
        await stranger.post(f"{path}/rotate-secret", json={}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_replay_shows_no_secret(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    first, again = [await admin.post("/v1/webhooks", json=WANTED, headers=headers) for _ in range(2)]
    assert again.json() == {**first.json(), "secret": None}
    assert len((await admin.get("/v1/webhooks")).json()["items"]) == 1
    async with api.resources.sessions() as session:
        stored = await session.scalar(
            select(IdempotencyKeyRow.body).where(IdempotencyKeyRow.workspace_id == workspace.id)
        )
    assert stored is not None
    assert first.json()["secret"].encode() not in stored


async def test_a_rotation_gives_another_secret(admin: httpx2.AsyncClient) -> None:
    made = (await admin.post("/v1/webhooks", json=WANTED)).json()
    path = f"/v1/webhooks/{made['id']}"
    rotated = (await admin.post(f"{path}/rotate-secret", json={})).json()
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"] is not None
    at_once = (await admin.post(f"{path}/rotate-secret", json={"overlap_seconds": 0})).json()
    assert at_once["previous_secret_until"] is None
    wrong = await admin.post(f"{path}/rotate-secret", json={"overlap_seconds": -1})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/overlap_seconds")


async def test_a_test_waits_to_be_sent_and_is_shown(api: Api, admin: httpx2.AsyncClient) -> None:
    """No notifier runs here."""
    path = await _made(admin)
    made = await admin.post(f"{path}/test")
    assert made.status_code == 202
    shown = made.json()
    assert (shown["state"], shown["event_type"], shown["on_demand"]) == ("pending", "webhook.tested", True)
    assert (shown["attempts"], shown["tries"], shown["response_status"]) == (0, [], None)
    twice = await admin.post(f"{path}/test")
    assert (twice.status_code, twice.json()["code"]) == (409, "test_under_way")

    event = (await admin.get(f"{path}/deliveries/{shown['id']}")).json()["event"]
    assert event["id"] == shown["event_id"]
    assert event["subject"] == {"kind": "webhook", "id": shown["webhook_id"]}
    assert (await admin.get("/v1/notifications")).json()["items"] == []

    async with transaction(api.resources.sessions) as session:
        failed = update(WebhookDeliveryRow).where(WebhookDeliveryRow.id == UUID(shown["id"])).values(state="failed")
        await session.execute(failed)
    second = (await admin.post(f"{path}/test")).json()
    for state, ids in (("failed", [shown["id"]]), ("pending", [second["id"]]), ("delivered", [])):
        found = (await admin.get(f"{path}/deliveries", params={"state": state})).json()["items"]
        assert [one["id"] for one in found] == ids
    first = (await admin.get(f"{path}/deliveries", params={"page_size": 1})).json()
    rest = (await admin.get(f"{path}/deliveries", params={"page_token": first["next_page_token"]})).json()
    assert [one["id"] for one in (*first["items"], *rest["items"])] == [second["id"], shown["id"]]


async def test_what_waits_for_a_webhook_that_is_off_cannot_be_redelivered(api: Api, admin: httpx2.AsyncClient) -> None:
    path = await _made(admin)
    delivery = (await admin.post(f"{path}/test")).json()["id"]
    async with transaction(api.resources.sessions) as session:
        row = update(WebhookDeliveryRow).where(WebhookDeliveryRow.id == UUID(delivery)).values(on_demand=False)
        await session.execute(row)
    await admin.patch(path, json={"state": "off"})
    answer = await admin.post(f"{path}/deliveries/{delivery}/redeliver")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_off")
    await admin.patch(path, json={"state": "active"})
    assert (await admin.post(f"{path}/deliveries/{delivery}/redeliver")).status_code == 202
