"""Which URIs data rows may name, and that what a host does wrong is never more than a failed content."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import shared.egress
from shared.egress import ContentUnavailable, Egress, HostRules
from shared.settings import EgressSettings

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def egress(*hosts: str, private: bool = False) -> Egress:
    return Egress(EgressSettings(allowed_content_hosts=hosts, allow_private_content_hosts=private))


@pytest.mark.parametrize(
    "uri",
    [
        "https://images.example.org/a.jpg",
        "https://IMAGES.example.org:443/a.jpg?size=1#x",
        "HTTPS://images.example.org",
        "https://images.example.org/%00%2e%2e",
    ],
)
async def test_allowed_hosts_are_allowed(uri: str) -> None:
    assert egress("Images.Example.org").allows(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "images.example.org/a.jpg",
        "//images.example.org/a.jpg",
        "http://images.example.org/a.jpg",
        "ftp://images.example.org/a.jpg",
        "file:///etc/passwd",
        "gopher://images.example.org",
        "store://images.example.org",
        "https://evil.example.com/images.example.org",
        "https://images.example.org.evil.example.com/",
        "https://evil-images.example.org/",
        "https://images.example.org@evil.example.com/",
        "https://evil.example.com\\@images.example.org/",
        "https://images.example.org\\@evil.example.com/",
        "https://user@images.example.org/",
        "https://user:password@images.example.org/",
        "https://:password@images.example.org/",
        "https://evil.example.com#@images.example.org/",
        "https://evil.example.com?@images.example.org/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[images.example.org/",
        "https://169.254.169.254/latest/meta-data",
        "https://images.example.org:99999/",
        "https://images.example.org:port/",
        "https://images.example.org:0/",
        "https://images.example.org/\x00",
        "https://images.example.org./",
        "https://images.example.org%2eevil.example.com/",
        "https://",
    ],
)
async def test_other_uris_are_not(uri: str) -> None:
    assert not egress("images.example.org").allows(uri)
    with pytest.raises(ContentUnavailable) as refused:
        await egress("images.example.org").fetch(uri, 100)
    assert refused.value.code == "host_not_allowed"


async def test_no_host_is_allowed_unless_it_is_named() -> None:
    assert not egress().allows("https://images.example.org/")


@asynccontextmanager
async def host(answer: Answer) -> AsyncIterator[str]:
    """A host at a private address, which answers as it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/picture"


def says(text: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte now and then, each well within the time for one read."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def fetched(answer: Answer, max_bytes: int = 100) -> bytes:
    client = egress("127.0.0.1", private=True)
    async with host(answer) as uri:
        try:
            return await client.fetch(uri, max_bytes)
        finally:
            await client.close()


async def test_the_body_is_what_the_host_sent() -> None:
    assert await fetched(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")) == b"hello"


@pytest.mark.parametrize(
    ("answer", "code", "transient"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "content_not_found", False),
        (b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", "fetch_failed", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * 200, "content_too_large", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "fetch_failed", True),
        (b"nonsense\r\n\r\n", "fetch_failed", True),
        (b"", "fetch_failed", True),
        (b"HTTP/1.1 302 Found\r\nLocation: /picture\r\nContent-Length: 0\r\n\r\n", "too_many_redirects", False),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n",
            "host_not_allowed",
            False,
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\nContent-Length: 0\r\n\r\n",
            "host_not_allowed",
            False,
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: http://xn--zz/\r\nContent-Length: 0\r\n\r\n", "host_not_allowed", False),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", "host_not_allowed", False),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", "fetch_failed", True),
    ],
)
async def test_whatever_a_host_answers_is_a_reason(answer: bytes, code: str, transient: bool) -> None:
    with pytest.raises(ContentUnavailable) as failed:
        await fetched(says(answer))
    assert (failed.value.code, failed.value.transient) == (code, transient)


async def test_an_allowed_name_of_a_private_address_is_sent_nothing() -> None:
    received: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(100))
        writer.close()

    client = egress("localhost")
    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ContentUnavailable) as refused:
            await client.fetch(f"https://localhost:{port}/", 100)
        await asyncio.sleep(0.05)
    assert refused.value.code == "host_not_allowed"
    assert not any(received)
    await client.close()


async def test_a_redirect_knocks_at_no_other_port() -> None:
    knocks = 0

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        knocks += 1
        writer.close()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as inside:
        port = inside.sockets[0].getsockname()[1]
        moved = f"HTTP/1.1 302 Found\r\nLocation: http://localhost:{port}/\r\nContent-Length: 0\r\n\r\n"
        with pytest.raises(ContentUnavailable) as refused:
            await fetched(says(moved.encode()))
        await asyncio.sleep(0.05)
    assert refused.value.code == "host_not_allowed"
    assert knocks == 0


async def test_a_host_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.egress, "_LONGEST_SECONDS", 0.2)
    with pytest.raises(ContentUnavailable) as failed:
        await fetched(drips)
    assert failed.value.code == "fetch_failed"


@pytest.mark.parametrize("path", ["", "a.jpg", "a/b-c_d~e/../f.jpg", "a.jpg?size=1", "%00", "@a", "x" * 3_000])
@pytest.mark.parametrize(
    "host", ["images.example.org", "evil.example.com", "xn--zz", "..", "-", "a..b", "2130706433", "x" * 300]
)
async def test_a_plain_path_decides_nothing(host: str, path: str) -> None:
    rules = HostRules.of(
        [host, "images.example.org"] if host != "evil.example.com" else ["images.example.org"], private=False
    )
    assert rules.allows(f"https://{host}/{path}") == rules._allows(f"https://{host}/{path}")
