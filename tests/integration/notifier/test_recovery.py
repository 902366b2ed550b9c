"""What a client that subscribes, or comes back, gets: each event once and in order, or a snapshot in their place."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, update

from deploy.local.stack import Addresses
from shared.contracts.events import ApiKeyCreated, ModelRunCompleted
from shared.contracts.progress import Progress
from shared.database.run_events import state_event
from shared.database.tables import EventRow, ModelRunRow, StreamRow
from shared.database.unit_of_work import transaction
from shared.hints import Hints
from shared.page_tokens import Pager
from shared.queue import JobQueue
from shared.signals import Signals
from shared.snapshots import model_run_snapshot, notifications_snapshot, preview_snapshot, project_snapshot
from tests.support.notifier import (
    Listener,
    Message,
    NotifierProcess,
    Tenant,
    listening,
    notifier_environment,
)

_MAX_MISSED = 250


@pytest.fixture(scope="module")
def environment(servers: Addresses) -> dict[str, str]:
    return notifier_environment(servers) | {
        "NOTIFIER_HEARTBEAT_SECONDS": "0.5",
        "NOTIFIER_POLL_SECONDS": "0.2",
        "NOTIFIER_MAX_MISSED_EVENTS": str(_MAX_MISSED),
        "NOTIFIER_PAGE_SIZE": "7",
    }


async def test_without_after_a_snapshot_and_what_follows(notifier: NotifierProcess, tenant: Tenant) -> None:
    await tenant.log(tenant.updated(1), tenant.updated(2))
    async with listening(notifier, tenant) as listener:
        subscribed = await listener.subscribe("1", _project(tenant))
        assert (subscribed["recovered"], subscribed["offset"]) == (False, 2)
        async with tenant.sessions() as session:
            project = await project_snapshot(session, tenant.workspace_id, tenant.project_id)
        assert project is not None
        assert subscribed["snapshot"] == project.model_dump(mode="json")
        await tenant.log(tenant.updated(3))
        message = await listener.read()
        assert (message["type"], message["id"], message["offset"]) == ("event", "1", 3)
        assert (message["event"]["type"], message["event"]["data"]["revision"]) == ("project.updated", 3)
        assert message["event"]["subject"] == {"kind": "project", "id": str(tenant.project_id)}


async def test_the_payload_is_forwarded_as_it_was_logged(notifier: NotifierProcess, tenant: Tenant) -> None:
    await tenant.log(tenant.updated(1))
    odd = '{"id":"' + str(uuid4()) + '","type":"future.thing",  "version":7,"subject":{"kind":"star","id":"'
    odd += str(uuid4()) + '"},"actor":"service:ü","occurred_at":"2030-01-01T00:00:00Z","data":{"π":[1.50]}}'
    async with transaction(tenant.sessions) as session:
        await session.execute(
            update(EventRow).where(EventRow.stream_id == tenant.project_id).values(payload=odd, type="future.thing")
        )
    async with listening(notifier, tenant) as listener:
        await listener.subscribe("1", _project(tenant), after=await _position(tenant, 0))
        text = await listener.socket.recv()
        assert text == f'{{"type":"event","id":"1","offset":1,"event":{odd}}}'


async def test_with_after_exactly_the_missing_suffix(notifier: NotifierProcess, tenant: Tenant) -> None:
    await tenant.log(*(tenant.updated(revision) for revision in range(1, 41)))
    for offset in (0, 17, 39, 40):
        async with listening(notifier, tenant) as listener:
            subscribed = await listener.subscribe("x", _project(tenant), after=await _position(tenant, offset))
            assert (subscribed["recovered"], subscribed["offset"]) == (True, offset)
            assert "snapshot" not in subscribed
            missed = await listener.read_many(40 - offset)
            assert [message["event"]["data"]["revision"] for message in missed] == list(range(offset + 1, 41))


async def test_nothing_is_missed_or_doubled_while_several_write(notifier: NotifierProcess, tenant: Tenant) -> None:
    """Clients come, go and come back where they were, while eight writers log into the same stream."""
    writers, each = 8, 25
    written: list[int] = []

    async def write(writer: int) -> None:
        for number in range(each):
            await tenant.log(tenant.updated(1_000 * writer + number))
            written.append(1_000 * writer + number)

    async def follow(session_length: int) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        while len(seen) < writers * each:
            async with listening(notifier, tenant) as listener:
                after = await _position(tenant, seen[-1][0] if seen else 0)
                subscribed = await listener.subscribe("1", _project(tenant), after=after)
                assert subscribed["recovered"] is True
                for _ in range(min(session_length, writers * each - len(seen))):
                    message = await listener.read()
                    seen.append((message["offset"], message["event"]["data"]["revision"]))
        return seen

    followers = [asyncio.create_task(follow(length)) for length in (9, 25, 60, 200)]
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    found = await asyncio.gather(*followers)
    for seen in found:
        assert [offset for offset, _ in seen] == list(range(1, writers * each + 1))
        assert sorted(revision for _, revision in seen) == sorted(written)
        assert seen == found[0]


@pytest.mark.parametrize("case", ["other epoch", "no epoch at all", "beyond the head", "trimmed", "too much missed"])
async def test_when_what_was_missed_cannot_be_sent(notifier: NotifierProcess, tenant: Tenant, case: str) -> None:
    head = _MAX_MISSED + 1 if case == "too much missed" else 10
    await tenant.log(*(tenant.updated(revision) for revision in range(1, head + 1)))
    after: dict[str, Any] = await _position(tenant, 0 if case == "too much missed" else 5)
    if case == "other epoch":
        after["epoch"] = str(uuid4())
    elif case == "no epoch at all":
        after["epoch"] = ""
    elif case == "beyond the head":
        after["offset"] = 2**80
    elif case == "trimmed":
        await _trim(tenant, first_offset=7)
    async with listening(notifier, tenant) as listener:
        subscribed = await listener.subscribe("1", _project(tenant), after=after)
        assert (subscribed["recovered"], subscribed["offset"]) == (False, head)
        assert subscribed["snapshot"]["id"] == str(tenant.project_id)
        await tenant.log(tenant.updated(99))
        assert (await listener.read())["offset"] == head + 1


async def test_the_edge_of_what_was_trimmed_is_recovered(notifier: NotifierProcess, tenant: Tenant) -> None:
    await tenant.log(*(tenant.updated(revision) for revision in range(1, 11)))
    await _trim(tenant, first_offset=7)
    async with listening(notifier, tenant) as listener:
        subscribed = await listener.subscribe("1", _project(tenant), after=await _position(tenant, 6))
        assert subscribed["recovered"] is True
        assert [message["offset"] for message in await listener.read_many(4)] == [7, 8, 9, 10]


async def test_history_lost_under_a_live_subscription(notifier: NotifierProcess, tenant: Tenant) -> None:
    """As after a restore from a backup: the client is told to start anew, then goes on."""
    await tenant.log(*(tenant.updated(revision) for revision in range(1, 6)))
    async with listening(notifier, tenant) as listener:
        first = await listener.subscribe("1", _project(tenant))
        async with transaction(tenant.sessions) as session:
            await session.execute(delete(EventRow).where(EventRow.stream_id == tenant.project_id, EventRow.offset > 2))
            await session.execute(
                update(StreamRow).where(StreamRow.id == tenant.project_id).values(epoch=uuid4(), last_offset=2)
            )
        again = await listener.read()
        assert (again["type"], again["id"], again["recovered"], again["offset"]) == ("subscribed", "1", False, 2)
        assert again["epoch"] != first["epoch"]
        await tenant.log(tenant.updated(6))
        assert (await listener.read())["offset"] == 3


async def test_a_model_run_is_filtered_and_its_cursor_moves(notifier: NotifierProcess, tenant: Tenant) -> None:
    mine, other = await tenant.add_run(), await tenant.add_run()
    async with listening(notifier, tenant) as listener:
        subscribed = await listener.subscribe("run", f"model_run:{mine}")
        async with tenant.sessions() as session:
            run = await model_run_snapshot(session, tenant.workspace_id, mine)
        assert run is not None
        assert subscribed["snapshot"] == run.model_dump(mode="json")
        assert (run.done, run.succeeded, run.failed, run.detections) == (4, 3, 1, 7)

        await tenant.log(tenant.updated(1), tenant.run_started(other), tenant.run_started(mine), tenant.updated(2))
        message = await listener.read()
        assert (message["type"], message["offset"], message["event"]["type"]) == ("event", 3, "model_run.started")
        assert await listener.read() == {"type": "position", "id": "run", "offset": 4}
    async with listening(notifier, tenant) as listener:
        subscribed = await listener.subscribe("run", f"model_run:{mine}", after=await _position(tenant, 1))
        assert subscribed["recovered"] is True
        assert (await listener.read())["offset"] == 3


async def test_a_preview_is_followed_as_one_and_not_as_a_run(
    notifier: NotifierProcess, tenant: Tenant, servers: Addresses
) -> None:
    mine, run_id = await tenant.add_preview(), await tenant.add_run()
    hints = Hints(servers.redis_url)
    async with listening(notifier, tenant) as listener:
        subscribed = await listener.subscribe("preview", f"preview:{mine}")
        async with tenant.sessions() as session:
            preview = await preview_snapshot(session, tenant.workspace_id, mine)
            row = await session.get_one(ModelRunRow, mine)
        assert preview is not None
        assert subscribed["snapshot"] == preview.model_dump(mode="json")
        assert (preview.done, preview.detections, preview.sample.seed) == (4, 7, 1)
        assert (await listener.subscribe("run", f"model_run:{run_id}"))["type"] == "subscribed"
        assert (await listener.subscribe("n", "notifications"))["type"] == "subscribed"

        await hints.progress(_progress(tenant, mine).model_copy(update={"purpose": "preview"}))
        message = await listener.read()
        assert (message["id"], message["preview_id"], "model_run_id" in message) == ("preview", str(mine), False)
        row.state = "completed"
        await tenant.log(state_event(row))
        message = await listener.read()
        assert (message["id"], message["event"]["type"]) == ("preview", "preview.completed")
    await hints.close()


async def test_notifications_are_what_notifies_and_nothing_else(
    notifier: NotifierProcess, tenant: Tenant, servers: Addresses
) -> None:
    run_id = await tenant.add_run()
    completed = ModelRunCompleted(**{**tenant.run_facts(run_id), "state": "completed"})
    await tenant.log(completed)
    async with listening(notifier, tenant) as listener:
        subscribed = await listener.subscribe("n", "notifications")
        async with tenant.sessions() as session:
            expected = await notifications_snapshot(
                session, tenant.workspace_id, tenant.member_id, Pager(servers.secret_key)
            )
        assert subscribed["snapshot"] == expected.model_dump(mode="json")
        assert (expected.unread, [item.type for item in expected.items]) == (1, ["model_run.completed"])
        await tenant.log(ApiKeyCreated(workspace_id=tenant.workspace_id, api_key_id=uuid4()), completed)
        message = await listener.read()
        assert (message["offset"], message["event"]["type"]) == (3, "model_run.completed")


async def test_progress_reaches_followers_of_the_run_and_of_its_project(
    notifier: NotifierProcess, tenant: Tenant, servers: Addresses
) -> None:
    run_id, other = await tenant.add_run(), await tenant.add_run()
    hints = Hints(servers.redis_url)
    async with listening(notifier, tenant) as listener:
        await listener.subscribe("run", f"model_run:{run_id}")
        await listener.subscribe("other", f"model_run:{other}")
        await listener.subscribe("project", _project(tenant))
        await hints.progress(_progress(tenant, run_id))
        found = sorted(await listener.read_many(2), key=lambda message: str(message["id"]))
        expected: Message = {
            "type": "progress",
            "model_run_id": str(run_id),
            "done": 4,
            "total": 10,
            "failed": 1,
            "rows_per_second": 2.5,
            "eta_seconds": None,
        }
        assert found == [{**expected, "id": "project"}, {**expected, "id": "run"}]
        await _is_quiet(listener)
    await hints.close()


async def test_unsubscribing_ends_it_and_frees_the_id(notifier: NotifierProcess, tenant: Tenant) -> None:
    async with listening(notifier, tenant) as listener:
        await listener.subscribe("1", _project(tenant))
        await listener.subscribe("2", _project(tenant))
        await listener.send(type="unsubscribe", id="1")
        assert (await listener.read())["type"] == "unsubscribed"
        await tenant.log(tenant.updated(1))
        assert (await listener.read())["id"] == "2"
        await _is_quiet(listener)
        subscribed = await listener.subscribe("1", _project(tenant), after=await _position(tenant, 0))
        assert subscribed["recovered"] is True
        assert (await listener.read())["id"] == "1"


async def test_a_lost_hint_costs_a_poll(notifier: NotifierProcess, tenant: Tenant) -> None:
    nobody = Signals(JobQueue("redis://127.0.0.1:1/0"), Hints("redis://127.0.0.1:1/0"))
    async with listening(notifier, tenant) as listener:
        await listener.subscribe("1", _project(tenant))
        await tenant.log(tenant.updated(1), signals=nobody)
        assert (await listener.read(2))["offset"] == 1
    await nobody.close()


def _project(tenant: Tenant) -> str:
    return f"project:{tenant.project_id}"


async def _position(tenant: Tenant, offset: int) -> dict[str, Any]:
    async with tenant.sessions() as session:
        stream = await session.get_one(StreamRow, tenant.project_id)
        return {"epoch": str(stream.epoch), "offset": offset}


async def _trim(tenant: Tenant, first_offset: int) -> None:
    async with transaction(tenant.sessions) as session:
        await session.execute(
            delete(EventRow).where(EventRow.stream_id == tenant.project_id, EventRow.offset < first_offset)
        )
        await session.execute(
            update(StreamRow).where(StreamRow.id == tenant.project_id).values(first_offset=first_offset)
        )


def _progress(tenant: Tenant, run_id: UUID) -> Progress:
    return Progress(
        workspace_id=tenant.workspace_id,
        project_id=tenant.project_id,
        model_run_id=run_id,
        done=4,
        total=10,
        failed=1,
        rows_per_second=2.5,
        eta_seconds=None,
    )


async def _is_quiet(listener: Listener) -> None:
    with pytest.raises(TimeoutError):
        await listener.read(0.3)
