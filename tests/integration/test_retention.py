"""Old events leave the log: who comes back from before is told so, everybody else notices nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from deploy.local.stack import Addresses
from services.api.retention import Retention, keep_trimming, trim_events
from services.api.settings import WorkerSettings
from shared.contracts.events import ModelRunCompleted
from shared.database.engine import Sessions
from shared.database.event_log import Head, read_head
from shared.database.tables import EventRow, NotificationReadRow
from shared.database.unit_of_work import transaction
from tests.support.notifier import Tenant, listening, notifier_environment, running_notifier, tenants

_YEAR = timedelta(days=365)


@pytest.fixture
def environment(servers: Addresses) -> dict[str, str]:
    return notifier_environment(servers) | {"NOTIFIER_POLL_SECONDS": "0.2"}


@pytest.fixture
async def tenant(environment: dict[str, str]) -> AsyncIterator[Tenant]:
    async with tenants(environment) as make:
        yield await make()


async def test_what_is_old_goes_and_the_epoch_stays(tenant: Tenant) -> None:
    await _log(tenant, 10)
    before = await _head(tenant)
    await _make_old(tenant.sessions, tenant.project_id, up_to=6)
    assert await trim_events(tenant.sessions, Retention(timedelta(days=30), 1_000, page_size=4)) == 6
    assert await _head(tenant) == Head(before.epoch, 7, 10)
    assert await _offsets(tenant) == [7, 8, 9, 10]
    assert await trim_events(tenant.sessions, Retention(timedelta(days=30), 1_000)) == 0


async def test_what_is_too_much_goes_whatever_its_age(tenant: Tenant) -> None:
    await _log(tenant, 10)
    assert await trim_events(tenant.sessions, Retention(_YEAR, 3, page_size=2)) == 7
    assert await _offsets(tenant) == [8, 9, 10]
    await _log(tenant, 1)
    assert await trim_events(tenant.sessions, Retention(_YEAR, 3)) == 1
    assert await _offsets(tenant) == [9, 10, 11]


async def test_a_stream_may_become_empty_and_goes_on(tenant: Tenant) -> None:
    await _log(tenant, 3)
    await _make_old(tenant.sessions, tenant.project_id, up_to=3)
    await trim_events(tenant.sessions, Retention(timedelta(days=30), 1_000))
    head = await _head(tenant)
    assert (head.first_offset, head.last_offset, await _offsets(tenant)) == (4, 3, [])
    await _log(tenant, 1)
    assert await _offsets(tenant) == [4]


async def test_what_follows_an_event_that_stays_stays(tenant: Tenant) -> None:
    """Clocks of several machines need not agree; a hole would be a lost event."""
    await _log(tenant, 5)
    await _make_old(tenant.sessions, tenant.project_id, up_to=5)
    async with transaction(tenant.sessions) as session:
        await session.execute(
            update(EventRow)
            .where(EventRow.stream_id == tenant.project_id, EventRow.offset == 3)
            .values(occurred_at=datetime.now(UTC))
        )
    assert await trim_events(tenant.sessions, Retention(timedelta(days=30), 1_000)) == 2
    assert await _offsets(tenant) == [3, 4, 5]


async def test_marks_go_with_their_notifications_and_others_stay(tenant: Tenant) -> None:
    run_id = await tenant.add_run()
    await tenant.log(*[ModelRunCompleted(**{**tenant.run_facts(run_id), "state": "completed"}) for _ in range(3)])
    async with transaction(tenant.sessions) as session:
        await session.execute(
            text(
                "INSERT INTO notification_reads (member_id, event_id, workspace_id) "
                "SELECT :member, event_id, workspace_id FROM events WHERE stream_id = :stream"
            ),
            {"member": tenant.member_id, "stream": tenant.workspace_id},
        )
    await _make_old(tenant.sessions, tenant.workspace_id, up_to=2)
    await trim_events(tenant.sessions, Retention(timedelta(days=30), 1_000))
    async with tenant.sessions() as session:
        assert await session.scalar(select(func.count()).select_from(NotificationReadRow)) == 1
    assert await _offsets(tenant) == [1, 2, 3], "the project's stream is another one"


async def test_while_another_trims_nothing_is_done(tenant: Tenant) -> None:
    await _log(tenant, 5)
    async with transaction(tenant.sessions) as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('event_retention', 0))"))
        assert await trim_events(tenant.sessions, Retention(_YEAR, 1)) == 0
    assert await trim_events(tenant.sessions, Retention(_YEAR, 1)) == 4


async def test_followers_notice_nothing_and_who_comes_back_is_told(
    environment: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    """A worker trims all but the last ten, while one listens to what is logged."""
    project, count = f"project:{tenant.project_id}", 40
    await _log(tenant, 20)
    settings = WorkerSettings.model_validate(
        {
            "database_url": environment["DATABASE_URL"],
            "redis_url": environment["REDIS_URL"],
            "object_store_url": f"file://{tmp_path / 'objects'}",
            "events_kept": 10,
            "events_trim_seconds": 0.02,
        }
    )
    with running_notifier(environment, tmp_path / "log") as notifier:
        async with listening(notifier, tenant) as live:
            subscribed = await live.subscribe("1", project)
            assert subscribed["offset"] == 20
            trimming = asyncio.create_task(keep_trimming(tenant.sessions, tenant.signals, settings))
            for offset in range(21, count + 21):
                await _log(tenant, 1)
                message = await live.read(30)
                assert (message["type"], message["offset"]) == ("event", offset)
            async with asyncio.timeout(30):
                while await _offsets(tenant) != list(range(count + 11, count + 21)):
                    await asyncio.sleep(0.05)
            trimming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await trimming
        async with listening(notifier, tenant) as back:
            at = {"epoch": subscribed["epoch"], "offset": subscribed["offset"]}
            lost = await back.subscribe("1", project, after=at)
            assert (lost["recovered"], lost["offset"], lost["epoch"]) == (False, count + 20, subscribed["epoch"])
            assert lost["snapshot"]["id"] == str(tenant.project_id)
            kept = await back.subscribe("2", project, after={**at, "offset": count + 10})
            assert kept["recovered"] is True
            assert [one["offset"] for one in await back.read_many(10)] == list(range(count + 11, count + 21))


async def _log(tenant: Tenant, count: int) -> None:
    for revision in range(count):
        await tenant.log(tenant.updated(revision))


async def _make_old(sessions: Sessions, stream_id: UUID, up_to: int) -> None:
    async with transaction(sessions) as session:
        await session.execute(
            update(EventRow)
            .where(EventRow.stream_id == stream_id, EventRow.offset <= up_to)
            .values(occurred_at=datetime.now(UTC) - timedelta(days=31))
        )


async def _head(tenant: Tenant) -> Head:
    async with tenant.sessions() as session:
        head = await read_head(session, tenant.project_id)
        assert head is not None
        return head


async def _offsets(tenant: Tenant) -> list[int]:
    async with tenant.sessions() as session:
        found = await session.scalars(
            select(EventRow.offset).where(EventRow.stream_id == tenant.project_id).order_by(EventRow.offset)
        )
        return list(found)
