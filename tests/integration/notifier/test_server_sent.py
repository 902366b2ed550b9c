"""The server-sent stream of a project, over a real connection."""

import asyncio
import socket
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import delete, select, update

from deploy.local.stack import Addresses
from shared.contracts.events import ApiKeyRevoked, ProjectCreated
from shared.contracts.messages import Closed, Opened, RunProgress
from shared.contracts.progress import Progress
from shared.database.tables import ApiKeyRow, EventRow, MemberRow, StreamRow
from shared.database.unit_of_work import transaction
from shared.hints import Hints
from shared.snapshots import project_snapshot
from tests.support.notifier import (
    NotifierProcess,
    Tenant,
    listening,
    notifier_environment,
    running_notifier,
)
from tests.support.server_sent import Stream, streaming
from tests.support.waiting import until

_PAGE = "https://app.example.org"


@pytest.fixture(scope="module")
def environment(servers: Addresses) -> dict[str, str]:
    return notifier_environment(servers) | {
        "NOTIFIER_HEARTBEAT_SECONDS": "0.5",
        "NOTIFIER_POLL_SECONDS": "0.2",
        "NOTIFIER_PAGE_SIZE": "7",
        "NOTIFIER_CLIENT_QUEUE_BYTES": "200000",
        "ALLOWED_ORIGINS": f'["{_PAGE}"]',
    }


def _url(notifier: NotifierProcess, tenant: Tenant) -> str:
    return f"{notifier.http_url}/v1/projects/{tenant.project_id}/events/stream"


def _key(tenant: Tenant) -> dict[str, str]:
    return {"Authorization": f"Bearer {tenant.api_key}"}


async def _opened(stream: Stream) -> Opened:
    block = await stream.read()
    assert block.name == "subscribed"
    opened = Opened.model_validate_json(block.data)
    assert block.id == f"{opened.epoch}:{opened.offset}"
    return opened


async def _epoch(tenant: Tenant) -> str:
    async with tenant.sessions() as session:
        return str((await session.get_one(StreamRow, tenant.project_id)).epoch)


async def test_a_snapshot_and_what_follows_with_the_bytes_of_the_websocket(
    notifier: NotifierProcess, tenant: Tenant
) -> None:
    await tenant.log(tenant.updated(1))
    async with streaming(_url(notifier, tenant), _key(tenant)) as stream, listening(notifier, tenant) as listener:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert 500 <= int((await stream.block()).fields["retry"]) <= 3_000
        opened = await _opened(stream)
        async with tenant.sessions() as session:
            project = await project_snapshot(session, tenant.workspace_id, tenant.project_id)
        assert (opened.recovered, opened.offset, opened.snapshot) == (False, 1, project)
        await listener.subscribe("1", f"project:{tenant.project_id}")
        await tenant.log(tenant.updated(2))
        block = await stream.read()
        assert (block.name, block.id) == (None, f"{opened.epoch}:2")
        assert await listener.socket.recv() == f'{{"type":"event","id":"1","offset":2,"event":{block.data}}}'
        async with tenant.sessions() as session:
            logged = await session.scalar(
                select(EventRow.payload).where(EventRow.stream_id == tenant.project_id, EventRow.offset == 2)
            )
        assert block.data == logged


@pytest.mark.parametrize("way", ["header", "address", "both"])
async def test_who_comes_back_gets_exactly_what_was_missed(notifier: NotifierProcess, tenant: Tenant, way: str) -> None:
    await tenant.log(*(tenant.updated(revision) for revision in range(1, 31)))
    place = f"{await _epoch(tenant)}:12"
    headers = {"Last-Event-ID": place} if way != "address" else {}
    query = {"last_event_id": {"address": place, "both": f"{await _epoch(tenant)}:3"}[way]} if way != "header" else {}
    async with streaming(_url(notifier, tenant), _key(tenant) | headers, **query) as stream:
        opened = await _opened(stream)
        assert (opened.recovered, opened.offset, opened.snapshot) == (True, 12, None)
        blocks = await stream.read_many(18)
        assert [block.json["data"]["revision"] for block in blocks] == list(range(13, 31))
        await tenant.log(tenant.updated(31))
        assert (await stream.read()).id == f"{opened.epoch}:31"


@pytest.mark.parametrize("case", ["trimmed", "other epoch", "beyond the head", "no place"])
async def test_who_cannot_be_told_all_is_told_so(notifier: NotifierProcess, tenant: Tenant, case: str) -> None:
    await tenant.log(*(tenant.updated(revision) for revision in range(1, 11)))
    epoch = await _epoch(tenant)
    if case == "trimmed":
        async with transaction(tenant.sessions) as session:
            await session.execute(delete(EventRow).where(EventRow.stream_id == tenant.project_id, EventRow.offset < 7))
            await session.execute(update(StreamRow).where(StreamRow.id == tenant.project_id).values(first_offset=7))
    places = {"other epoch": f"{uuid4()}:5", "beyond the head": f"{epoch}:99", "no place": "5:x"}
    headers = _key(tenant) | {"Last-Event-ID": places.get(case, f"{epoch}:5")}
    async with streaming(_url(notifier, tenant), headers) as stream:
        opened = await _opened(stream)
        assert (opened.recovered, opened.offset) == (False, 10)
        assert opened.snapshot is not None


async def test_history_lost_in_mid_stream_starts_anew(notifier: NotifierProcess, tenant: Tenant) -> None:
    await tenant.log(*(tenant.updated(revision) for revision in range(1, 6)))
    async with streaming(_url(notifier, tenant), _key(tenant)) as stream:
        first = await _opened(stream)
        async with transaction(tenant.sessions) as session:
            await session.execute(delete(EventRow).where(EventRow.stream_id == tenant.project_id, EventRow.offset > 2))
            await session.execute(
                update(StreamRow).where(StreamRow.id == tenant.project_id).values(epoch=uuid4(), last_offset=2)
            )
        again = await _opened(stream)
        assert (again.recovered, again.offset, again.epoch == first.epoch) == (False, 2, False)
        await tenant.log(tenant.updated(6))
        assert (await stream.read()).id == f"{again.epoch}:3"


async def test_a_ticket_in_the_address_serves_once(notifier: NotifierProcess, tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    async with streaming(_url(notifier, tenant), ticket=ticket) as stream:
        await _opened(stream)
    async with streaming(_url(notifier, tenant), ticket=ticket) as stream:
        assert (stream.answer.status_code, stream.answer.json()["code"]) == (401, "unauthenticated")


async def test_what_is_refused_is_a_problem(notifier: NotifierProcess, tenant: Tenant, stranger: Tenant) -> None:
    key = _key(tenant)
    wrong_key = {"Authorization": key["Authorization"][:-1] + ("0" if key["Authorization"][-1] != "0" else "1")}
    cases: list[tuple[str, dict[str, str], int]] = [
        (_url(notifier, tenant), {}, 401),
        (_url(notifier, tenant), {"Authorization": "Bearer nonsense"}, 401),
        (_url(notifier, tenant), {"Authorization": "Basic eDp5"}, 401),
        (_url(notifier, tenant), wrong_key, 401),
        (_url(notifier, stranger), key, 404),
        (f"{notifier.http_url}/v1/projects/{uuid4()}/events/stream", key, 404),
        (f"{notifier.http_url}/v1/projects/x/events/stream", key, 404),
        (_url(notifier, tenant), key | {"Origin": "https://evil.example"}, 403),
    ]
    for url, headers, status in cases:
        async with streaming(url, headers) as stream:
            assert stream.answer.status_code == status, (url, headers)
            assert stream.answer.headers["content-type"] == "application/problem+json"
            assert stream.answer.json()["status"] == status
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.post(_url(notifier, tenant), headers=key)).status_code == 405


async def test_a_page_of_the_list_may_call_and_read_what_is_refused(notifier: NotifierProcess, tenant: Tenant) -> None:
    async with streaming(_url(notifier, tenant), _key(tenant) | {"Origin": _PAGE}) as stream:
        assert stream.answer.headers["access-control-allow-origin"] == _PAGE
        await _opened(stream)
    async with streaming(_url(notifier, tenant), {"Origin": _PAGE}) as stream:
        assert stream.answer.status_code == 401
        assert stream.answer.headers["access-control-allow-origin"] == _PAGE
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization,last-event-id"}
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.options(_url(notifier, tenant), headers={**asked, "Origin": _PAGE})
        assert answer.status_code == 200
        assert {"authorization", "last-event-id"} <= set(
            answer.headers["access-control-allow-headers"].lower().split(", ")
        )
        answer = await client.options(_url(notifier, tenant), headers={**asked, "Origin": "https://evil.example"})
        assert answer.status_code == 400


async def test_a_heartbeat_is_a_comment(notifier: NotifierProcess, tenant: Tenant) -> None:
    async with streaming(_url(notifier, tenant), _key(tenant)) as stream:
        await _opened(stream)
        assert (await stream.block()).fields == {"": "the server lives"}


@pytest.mark.parametrize("end", ["told", "untold", "role"])
async def test_a_key_that_serves_no_more_ends_it(
    notifier: NotifierProcess, tenant: Tenant, stranger: Tenant, end: str
) -> None:
    ends = {
        "untold": update(ApiKeyRow).where(ApiKeyRow.id == tenant.api_key_id).values(revoked_at=ApiKeyRow.created_at),
        "role": update(MemberRow).where(MemberRow.id == tenant.member_id).values(role="editor"),
    }
    async with (
        streaming(_url(notifier, tenant), _key(tenant)) as mine,
        streaming(_url(notifier, stranger), _key(stranger)) as other,
    ):
        await _opened(mine)
        await _opened(other)
        if end == "told":
            await tenant.log(ApiKeyRevoked(workspace_id=tenant.workspace_id, api_key_id=tenant.api_key_id))
        else:
            async with transaction(tenant.sessions) as session:
                await session.execute(ends[end])
        last = await mine.ended()
        assert (last.name, Closed.model_validate_json(last.data).code) == ("closed", 4401)
        await stranger.log(stranger.updated(1))
        assert (await other.read()).json["data"]["revision"] == 1


async def test_progress_has_a_name_of_its_own(notifier: NotifierProcess, tenant: Tenant, servers: Addresses) -> None:
    run_id, hints = await tenant.add_run(), Hints(servers.redis_url)
    async with streaming(_url(notifier, tenant), _key(tenant)) as stream:
        await _opened(stream)
        numbers = {"done": 4, "total": 10, "failed": 1, "rows_per_second": 2.5, "eta_seconds": None}
        await hints.progress(
            Progress.model_validate(
                {
                    "workspace_id": tenant.workspace_id,
                    "project_id": tenant.project_id,
                    "model_run_id": run_id,
                    **numbers,
                }
            )
        )
        block = await stream.read()
        assert (block.name, block.id) == ("progress", None)
        assert block.json == {"model_run_id": str(run_id), **numbers}
        assert RunProgress.model_validate(block.json).model_run_id == run_id
    await hints.close()


async def test_who_does_not_read_is_closed_and_costs_nobody_else(notifier: NotifierProcess, tenant: Tenant) -> None:
    slow = socket.create_connection(("127.0.0.1", int(notifier.http_url.rpartition(":")[2])))
    path = f"/v1/projects/{tenant.project_id}/events/stream"
    slow.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.api_key}\r\n\r\n".encode())
    before = notifier.metric("prelabel_notifier_slow_clients_closed_total")
    count, event = (
        600,
        ProjectCreated(workspace_id=tenant.workspace_id, project_id=tenant.project_id, name="n" * 20_000),
    )
    async with streaming(_url(notifier, tenant), _key(tenant)) as quick:
        opened = await _opened(quick)
        reader = asyncio.create_task(quick.read_many(count))
        for _ in range(count // 50):
            await tenant.log(*([event] * 50))
        assert [block.id for block in await reader] == [f"{opened.epoch}:{n}" for n in range(1, count + 1)]
        assert notifier.metric("prelabel_notifier_slow_clients_closed_total") == before + 1
        # Its socket is torn although it never reads.
        await until(lambda: notifier.metric("prelabel_notifier_connections") == 1, seconds=20)
    slow.close()


async def test_two_requests_on_one_connection_leave_nothing_behind(notifier: NotifierProcess, tenant: Tenant) -> None:
    path = f"/v1/projects/{tenant.project_id}/events/stream"
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.api_key}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", int(notifier.http_url.rpartition(":")[2]))) as both:
        both.sendall(request + request)
        await until(lambda: notifier.metric("prelabel_notifier_subscriptions") == 1, seconds=20)
    await until(lambda: notifier.metric("prelabel_notifier_connections") == 0, seconds=20)
    assert notifier.metric("prelabel_notifier_subscriptions") == 0


async def test_a_restart_says_so_and_what_follows_is_not_lost(
    environment: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    with running_notifier(environment, tmp_path / "log") as notifier:
        async with streaming(_url(notifier, tenant), _key(tenant)) as stream:
            await _opened(stream)
            await tenant.log(tenant.updated(1))
            last_id = (await stream.read()).id
            await asyncio.to_thread(notifier.stop)
            assert Closed.model_validate_json((await stream.ended()).data).code == 1012
        await tenant.log(tenant.updated(2))
        await asyncio.to_thread(notifier.start)
        async with streaming(_url(notifier, tenant), _key(tenant) | {"Last-Event-ID": last_id or ""}) as stream:
            assert (await _opened(stream)).recovered
            assert (await stream.read()).json["data"]["revision"] == 2


async def test_connections_of_both_kinds_have_one_limit(
    environment: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    patient = {"NOTIFIER_MAX_CONNECTIONS": "2", "NOTIFIER_HEARTBEAT_SECONDS": "20"}
    with running_notifier({**environment, **patient}, tmp_path / "log") as notifier:
        async with listening(notifier, tenant), streaming(_url(notifier, tenant), _key(tenant)) as stream:
            await _opened(stream)
            async with streaming(_url(notifier, tenant), _key(tenant)) as third:
                assert (third.answer.status_code, third.answer.headers["retry-after"]) == (429, "5")
