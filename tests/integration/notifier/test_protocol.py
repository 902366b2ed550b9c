"""The conversation over a real socket: who gets in, what is refused, and which code says why."""

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, update
from websockets.exceptions import ConnectionClosed

from deploy.local.stack import Addresses
from shared.contracts.events import ApiKeyRevoked, ApiKeySuspended
from shared.database.tables import ApiKeyRow, MemberRow
from shared.database.unit_of_work import transaction, unit_of_work
from tests.support.notifier import (
    NotifierProcess,
    Tenant,
    connected,
    listening,
    notifier_environment,
    running_notifier,
)


@pytest.fixture(scope="module")
def environment(servers: Addresses) -> dict[str, str]:
    return notifier_environment(servers) | {
        "NOTIFIER_HEARTBEAT_SECONDS": "0.4",
        "NOTIFIER_INIT_SECONDS": "2",
        "NOTIFIER_MAX_SUBSCRIPTIONS": "3",
    }


async def test_a_ticket_serves_once(notifier: NotifierProcess, tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    async with connected(notifier.url) as first, connected(notifier.url) as second:
        assert await first.init(ticket) == {"type": "ready", "heartbeat_seconds": 0.4}
        await second.send(type="init", ticket=ticket)
        assert await second.close_code() == 4401


@pytest.mark.parametrize("lifetime_seconds", [-1, None])
async def test_a_ticket_that_is_too_old_or_unknown(
    notifier: NotifierProcess, tenant: Tenant, lifetime_seconds: float | None
) -> None:
    ticket = "unknown" if lifetime_seconds is None else await tenant.ticket(lifetime_seconds)
    async with connected(notifier.url) as listener:
        await listener.send(type="init", ticket=ticket)
        assert await listener.close_code() == 4401


async def test_a_ticket_of_a_revoked_key(notifier: NotifierProcess, tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    await _revoke(tenant)
    async with connected(notifier.url) as listener:
        await listener.send(type="init", ticket=ticket)
        assert await listener.close_code() == 4401


@pytest.mark.parametrize("event", [ApiKeyRevoked, ApiKeySuspended])
async def test_a_key_that_serves_no_more_closes_its_connections_and_no_other(
    notifier: NotifierProcess, tenant: Tenant, stranger: Tenant, event: type[ApiKeyRevoked | ApiKeySuspended]
) -> None:
    async with listening(notifier, tenant) as mine, listening(notifier, stranger) as other:
        await tenant.log(event(workspace_id=tenant.workspace_id, api_key_id=tenant.api_key_id))
        assert await mine.close_code() == 4401
        assert (await other.subscribe("1", "notifications"))["type"] == "subscribed"


async def test_two_who_use_a_ticket_at_once(notifier: NotifierProcess, tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(connected(notifier.url)) for _ in range(6)]
        await asyncio.gather(*(one.send(type="init", ticket=ticket) for one in listeners))
        codes = await asyncio.gather(*(one.close_code(10) for one in listeners), return_exceptions=True)
        # The one that got in says nothing more and is closed for that.
        assert sorted(str(code) for code in codes) == ["4401"] * 5 + ["4408"]


@pytest.mark.parametrize("end", ["expires", "revoked", "disabled", "role"])
async def test_a_key_that_ends_without_an_event_closes_its_connections(
    environment: dict[str, str], tenant: Tenant, stranger: Tenant, tmp_path: Path, end: str
) -> None:
    """No event tells of an expiry; another may be lost in a restored backup."""
    ends = {
        "expires": update(ApiKeyRow)
        .where(ApiKeyRow.id == tenant.api_key_id)
        .values(expires_at=func.now() + timedelta(seconds=1)),
        "revoked": update(ApiKeyRow).where(ApiKeyRow.id == tenant.api_key_id).values(revoked_at=func.now()),
        "disabled": update(MemberRow).where(MemberRow.id == tenant.member_id).values(disabled_at=func.now()),
        "role": update(MemberRow).where(MemberRow.id == tenant.member_id).values(role="editor"),
    }
    with running_notifier({**environment, "NOTIFIER_HEARTBEAT_SECONDS": "20"}, tmp_path / "log") as notifier:
        async with listening(notifier, tenant) as mine, listening(notifier, stranger) as other:
            assert (await mine.subscribe("1", "notifications"))["type"] == "subscribed"
            async with transaction(tenant.sessions) as session:
                await session.execute(ends[end])
            assert await mine.close_code(6) == 4401
            assert (await other.subscribe("1", "notifications"))["type"] == "subscribed"


async def test_init_must_come_in_time(notifier: NotifierProcess) -> None:
    async with connected(notifier.url) as listener:
        assert await listener.close_code() == 4408


async def test_init_must_come_first(notifier: NotifierProcess) -> None:
    async with connected(notifier.url) as listener:
        await listener.send(type="subscribe", id="1", topic="notifications")
        assert await listener.close_code() == 4401


@pytest.mark.parametrize(
    "frame",
    ["{", "[]", '{"type":"dance"}', '{"type":"subscribe","id":""}', '{"type":"init","ticket":"again"}', b"\x00"],
)
async def test_bad_messages(notifier: NotifierProcess, tenant: Tenant, frame: str | bytes) -> None:
    async with listening(notifier, tenant) as listener:
        await listener.socket.send(frame)
        assert await listener.close_code() == 4400
        assert "again" not in (listener.socket.close_reason or "")


async def test_a_message_that_is_too_large(notifier: NotifierProcess, tenant: Tenant) -> None:
    async with listening(notifier, tenant) as listener:
        await listener.socket.send("x" * 70_000)
        assert await listener.close_code() == 1009


async def test_a_flood(notifier: NotifierProcess, tenant: Tenant) -> None:
    async with listening(notifier, tenant) as listener:
        with suppress(ConnectionClosed):
            for _ in range(1_000):
                await listener.send(type="pong")
        assert await listener.close_code() == 4429


async def test_the_subprotocol_is_needed(notifier: NotifierProcess) -> None:
    async with connected(notifier.url, subprotocols=None) as listener:
        assert await listener.close_code() == 4400


async def test_pages_of_other_origins_are_refused(notifier: NotifierProcess, tenant: Tenant) -> None:
    async with connected(notifier.url, origin="https://evil.example") as listener:
        assert await listener.close_code() == 4403
    own = notifier.url.replace("ws://", "http://").removesuffix("/v1/ws")
    async with listening(notifier, tenant, origin=own):
        pass


async def test_origins_are_those_of_the_list(environment: dict[str, str], tenant: Tenant, tmp_path: Path) -> None:
    listed = {**environment, "ALLOWED_ORIGINS": '["https://app.example.org"]'}
    with running_notifier(listed, tmp_path / "log") as notifier:
        own = notifier.url.replace("ws://", "http://").removesuffix("/v1/ws")
        for origin in (own, "http://app.example.org", "https://app.example.org.evil.example", "null"):
            async with connected(notifier.url, origin=origin) as listener:
                assert await listener.close_code() == 4403, origin
        async with listening(notifier, tenant, origin="https://app.example.org"), listening(notifier, tenant):
            pass


async def test_topics_that_are_not_there_for_this_workspace(
    notifier: NotifierProcess, tenant: Tenant, stranger: Tenant
) -> None:
    run_id, preview_id = await stranger.add_run(), await stranger.add_preview()
    topics = [
        f"project:{stranger.project_id}",
        f"model_run:{run_id}",
        f"preview:{preview_id}",
        f"model_run:{await tenant.add_preview()}",
        f"preview:{await tenant.add_run()}",
        f"project:{uuid4()}",
        f"preview:{uuid4()}",
        "project:x",
        "weather",
    ]
    async with listening(notifier, tenant) as listener:
        for topic in topics:
            answer = await listener.subscribe("1", topic)
            assert (answer["type"], answer["id"]) == ("error", "1"), topic
            assert (answer["problem"]["status"], answer["problem"]["code"]) == (404, "not_found"), topic
        assert (await listener.subscribe("1", f"project:{tenant.project_id}"))["type"] == "subscribed"


async def test_subscriptions_have_a_limit_and_ids_of_their_own(notifier: NotifierProcess, tenant: Tenant) -> None:
    async with listening(notifier, tenant) as listener:
        for subscription_id in "abc":
            assert (await listener.subscribe(subscription_id, "notifications"))["type"] == "subscribed"
        assert (await listener.subscribe("a", "notifications"))["problem"]["code"] == "conflict"
        assert (await listener.subscribe("d", "notifications"))["problem"]["code"] == "too_many_requests"
        await listener.send(type="unsubscribe", id="a")
        assert await listener.read() == {"type": "unsubscribed", "id": "a"}
        await listener.send(type="unsubscribe", id="a")
        assert (await listener.read())["problem"]["code"] == "not_found"
        assert (await listener.subscribe("d", "notifications"))["type"] == "subscribed"


async def test_pings_go_both_ways(notifier: NotifierProcess, tenant: Tenant) -> None:
    async with listening(notifier, tenant) as listener:
        await listener.send(type="ping")
        assert await listener.read() == {"type": "pong"}
        with pytest.raises(TimeoutError):
            await listener.read(1.5)  # answers pings for longer than a silent client may live
        assert await listener.close_code() == 4408


async def test_a_restart_closes_with_1012(environment: dict[str, str], tenant: Tenant, tmp_path: Path) -> None:
    with running_notifier(environment, tmp_path / "log") as notifier:
        async with listening(notifier, tenant) as listener:
            await asyncio.to_thread(notifier.stop)
            assert await listener.close_code() == 1012


async def _revoke(tenant: Tenant) -> None:
    async with unit_of_work(tenant.sessions, tenant.signals, "service:test") as work:
        await work.session.execute(
            update(ApiKeyRow).where(ApiKeyRow.id == tenant.api_key_id).values(revoked_at=ApiKeyRow.created_at)
        )
        work.emit(ApiKeyRevoked(workspace_id=tenant.workspace_id, api_key_id=tenant.api_key_id))
