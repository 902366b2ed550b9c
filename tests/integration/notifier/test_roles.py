"""Who may follow what: asked at every subscribe, and of open connections again and again."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import func, update

from deploy.local.stack import Addresses
from services.api.access.principal import Role
from shared.database.tables import ApiKeyRow, MemberRow
from shared.database.unit_of_work import transaction
from tests.support.notifier import (
    NotifierProcess,
    Tenant,
    connected,
    listening,
    notifier_environment,
    running_notifier,
)

_LOOK_SECONDS = 0.2


@pytest.fixture(scope="module")
def environment(servers: Addresses) -> dict[str, str]:
    return notifier_environment(servers)


@pytest.fixture(scope="module")
def notifier(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotifierProcess]:
    looking = {**environment, "NOTIFIER_KEY_CHECK_SECONDS": str(_LOOK_SECONDS)}
    with running_notifier(looking, tmp_path_factory.mktemp("notifier") / "log") as process:
        yield process


@pytest.fixture(scope="module")
def blind(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotifierProcess]:
    """It never looks at the keys of open connections, so that what a subscribe itself asks is seen."""
    not_looking = {**environment, "NOTIFIER_KEY_CHECK_SECONDS": "3600"}
    with running_notifier(not_looking, tmp_path_factory.mktemp("blind") / "log") as process:
        yield process


async def _topics(tenant: Tenant) -> list[str]:
    of_runs = [f"model_run:{await tenant.add_run()}", f"preview:{await tenant.add_preview()}"]
    return [f"project:{tenant.project_id}", *of_runs]


async def _give(tenant: Tenant, role: str) -> None:
    async with transaction(tenant.sessions) as session:
        await session.execute(update(MemberRow).where(MemberRow.id == tenant.member_id).values(role=role))


async def _end(tenant: Tenant, end: str) -> None:
    """Without an event."""
    statements = {
        "revoked": update(ApiKeyRow).where(ApiKeyRow.id == tenant.api_key_id).values(revoked_at=func.now()),
        "expired": update(ApiKeyRow).where(ApiKeyRow.id == tenant.api_key_id).values(expires_at=func.now()),
        "disabled": update(MemberRow).where(MemberRow.id == tenant.member_id).values(disabled_at=func.now()),
        "another role": update(MemberRow).where(MemberRow.id == tenant.member_id).values(role="editor"),
    }
    async with transaction(tenant.sessions) as session:
        await session.execute(statements[end])


@pytest.mark.parametrize("role", Role)
async def test_each_role_follows_its_own_workspace_and_no_other(
    notifier: NotifierProcess, tenant: Tenant, stranger: Tenant, role: Role
) -> None:
    await _give(tenant, role)
    own, foreign = await _topics(tenant), await _topics(stranger)
    async with listening(notifier, tenant) as listener:
        for topic in (*own, "notifications"):
            assert (await listener.subscribe(topic, topic))["type"] == "subscribed"
        for topic in foreign:
            answer = await listener.subscribe(topic, topic)
            assert (answer["type"], answer["problem"]["status"]) == ("error", 404), topic


async def test_a_ticket_brings_the_role_of_the_moment_it_is_used(notifier: NotifierProcess, tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    await _give(tenant, "labeler")
    async with connected(notifier.url) as listener:
        assert (await listener.init(ticket))["type"] == "ready"
        assert (await listener.subscribe("1", "notifications"))["type"] == "subscribed"
        await asyncio.sleep(5 * _LOOK_SECONDS)
        await listener.send(type="ping")
        assert await listener.read() == {"type": "pong"}, "who was let in with its new role stays"


@pytest.mark.parametrize("end", ["revoked", "expired", "disabled", "another role"])
async def test_what_a_key_may_is_asked_at_each_subscribe(
    blind: NotifierProcess, tenant: Tenant, stranger: Tenant, end: str
) -> None:
    topics = [*await _topics(tenant), "notifications"]
    async with listening(blind, tenant) as mine, listening(blind, stranger) as other:
        assert (await mine.subscribe("before", topics[0]))["type"] == "subscribed"
        await _end(tenant, end)
        for topic in topics:
            answer = await mine.subscribe(topic, topic)
            assert (answer["type"], answer["problem"]["status"]) == ("error", 401), topic
        assert (await other.subscribe("1", "notifications"))["type"] == "subscribed"


@pytest.mark.parametrize("end", ["revoked", "expired", "disabled", "another role"])
async def test_open_connections_end_with_what_their_key_may(
    notifier: NotifierProcess, tenant: Tenant, stranger: Tenant, end: str
) -> None:
    async with listening(notifier, tenant) as mine, listening(notifier, stranger) as other:
        for listener in (mine, other):
            assert (await listener.subscribe("1", "notifications"))["type"] == "subscribed"
        await _end(tenant, end)
        assert await mine.close_code() == 4401
        await other.send(type="ping")
        assert await other.read() == {"type": "pong"}
