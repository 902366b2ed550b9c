"""Over a real server and sockets: what ASGI in one process cannot show."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
import pytest_asyncio
import uvicorn

from services.api.access.principal import Role
from services.api.data_rows.stream import LINES_A_PART
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def port(api: Api) -> AsyncIterator[int]:
    server = uvicorn.Server(uvicorn.Config(api.app, port=0, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


@pytest_asyncio.fixture
async def project(admin: httpx2.AsyncClient) -> str:
    made = await admin.post("/v1/projects", json={"name": "texts", "media_type": "text"})
    return str(made.headers["location"])


def head(path: str, key: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ).encode()


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        async with asyncio.timeout(60):
            yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def unchunked(content: bytes) -> bytes:
    """The body of an answer sent in chunks, without its headers."""
    rest, body = content.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def lines(start: int, count: int) -> bytes:
    return b"".join(b'{"global_key": "%d", "text": "%d"}\n' % (n, n) for n in range(start, start + count))


async def test_client_that_reads_only_at_the_end_does_not_block(port: int, workspace: Workspace, project: str) -> None:
    # The answers outgrow every socket buffer long before the client begins to read.
    parts = 30
    async with connection(port) as (reader, writer):
        writer.write(head(f"{project}/data-rows", workspace.keys[Role.EDITOR]))
        for part in range(parts):
            writer.write(chunk(lines(part * 10, 10)) + chunk(b"{broken\n" * 1990))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        answer = unchunked(await reader.read(-1))
    assert answer.count(b'"status":"created"') == parts * 10
    assert answer.count(b'"malformed_json"') == parts * 1990
    assert len(answer.splitlines()) == parts * 2000


async def test_parts_are_answered_while_the_client_still_sends(port: int, workspace: Workspace, project: str) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head(f"{project}/data-rows", workspace.keys[Role.EDITOR]) + chunk(lines(0, LINES_A_PART)))
        await reader.readuntil(b'"line":%d,' % LINES_A_PART)
        writer.write(chunk(lines(LINES_A_PART, 1)) + b"0\r\n\r\n")
        assert b'"line":%d,' % (LINES_A_PART + 1) in await reader.read(-1)


async def test_client_that_breaks_off_keeps_what_was_stored(
    port: int, workspace: Workspace, admin: httpx2.AsyncClient, project: str
) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head(f"{project}/data-rows", workspace.keys[Role.EDITOR]) + chunk(lines(0, LINES_A_PART + 200)))
        await reader.readuntil(b'"line":%d,' % LINES_A_PART)
    await asyncio.sleep(0.2)
    pages = [(await admin.get(f"{project}/data-rows", params={"page_size": LINES_A_PART // 2})).json()]
    while token := pages[-1]["next_page_token"]:
        wanted = {"page_size": LINES_A_PART // 2, "page_token": token}
        pages.append((await admin.get(f"{project}/data-rows", params=wanted)).json())
    assert [len(page["items"]) for page in pages] == [LINES_A_PART // 2] * 2
    again = await admin.post(
        f"{project}/data-rows", content=lines(0, LINES_A_PART + 200), headers={"Content-Type": "application/jsonl"}
    )
    statuses = [json.loads(line)["status"] for line in again.text.splitlines()]
    assert (statuses.count("unchanged"), statuses.count("created")) == (LINES_A_PART, 200)


async def test_deleted_project_ends_the_stream_with_its_reason(
    port: int, workspace: Workspace, admin: httpx2.AsyncClient, project: str
) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head(f"{project}/data-rows", workspace.keys[Role.EDITOR]) + chunk(lines(0, LINES_A_PART)))
        begun = await reader.readuntil(b'"line":%d,' % LINES_A_PART)
        assert (await admin.delete(project)).status_code == 204
        writer.write(chunk(lines(LINES_A_PART, 10)) + b"0\r\n\r\n")
        answer = [json.loads(line) for line in unchunked(begun + await reader.read(-1)).splitlines()]
    assert (len(answer), answer[-1]["line"], answer[-1]["error"]["code"]) == (LINES_A_PART + 1, None, "not_found")


async def test_upload_of_many_files_over_a_socket(port: int, workspace: Workspace, project: str) -> None:
    files = [("file", (f"{n}.txt", f"text {n}".encode(), "text/plain")) for n in range(120)]
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {workspace.keys[Role.EDITOR]}"}) as client:
        answer = await client.post(f"http://127.0.0.1:{port}{project}/data-rows/upload", files=files, timeout=30)
    assert answer.json()["created"] == 120
