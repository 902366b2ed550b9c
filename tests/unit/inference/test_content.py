"""Reading contents: whose fault it is when one cannot be had."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import services.inference.inputs.content
from services.inference.failures import RowFailed
from services.inference.inputs.content import ContentReader, Stored
from shared.egress import Egress
from shared.ids import new_id
from shared.object_store import ObjectStore
from shared.settings import EgressSettings


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.inference.inputs.content, "_PAUSES_SECONDS", (0.01, 0.01))


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}")


@asynccontextmanager
async def reading(store: ObjectStore) -> AsyncIterator[ContentReader]:
    egress = Egress(EgressSettings(allowed_content_hosts=("127.0.0.1",), allow_private_content_hosts=True))
    yield ContentReader(store, egress)
    await egress.close()


def row(uri: str | None = None, text: str | None = None, sha256: bytes | None = None) -> Stored:
    return Stored(new_id(), uri, text, sha256, None)


@asynccontextmanager
async def host(*statuses: int) -> AsyncIterator[tuple[str, list[int]]]:
    """Answers with one status after the other, the last one for ever; and what it has answered."""
    answered: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = statuses[min(len(answered), len(statuses) - 1)]
        answered.append(status)
        writer.write(f"HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/picture", answered


async def test_a_host_that_comes_back_costs_nothing(store: ObjectStore) -> None:
    async with host(503, 500, 200) as (uri, answered), reading(store) as reader:
        found = await reader.read(row(uri))
    assert found.body == b"body"
    assert found.first_read
    assert answered == [503, 500, 200]


async def test_a_host_that_stays_away_costs_its_row(store: ObjectStore) -> None:
    async with host(503) as (uri, answered), reading(store) as reader:
        with pytest.raises(RowFailed) as failed:
            await reader.read(row(uri))
    assert (failed.value.stage, failed.value.code, failed.value.attempts) == ("fetch", "fetch_failed", 3)
    assert len(answered) == 3


async def test_what_is_not_there_is_asked_for_once(store: ObjectStore) -> None:
    async with host(404) as (uri, answered), reading(store) as reader:
        with pytest.raises(RowFailed) as failed:
            await reader.read(row(uri))
    assert (failed.value.code, failed.value.attempts) == ("content_not_found", 1)
    assert answered == [404]


async def test_a_host_that_is_no_longer_allowed_is_not_asked(store: ObjectStore) -> None:
    async with reading(store) as reader:
        with pytest.raises(RowFailed) as failed:
            await reader.read(row("https://images.example.org/a"))
    assert failed.value.code == "host_not_allowed"


async def test_objects_and_texts_are_read(store: ObjectStore) -> None:
    uri = await store.put("w/a", b"bytes")
    async with reading(store) as reader:
        assert (await reader.read(row(uri))).body == b"bytes"
        assert (await reader.read(row(text="naïve"))).body == "naïve".encode()
        with pytest.raises(RowFailed) as failed:
            await reader.read(row("store://w/missing"))
    assert (failed.value.stage, failed.value.code) == ("fetch", "content_not_found")


async def test_content_that_changed_fails(store: ObjectStore) -> None:
    uri = await store.put("w/a", b"bytes")
    async with reading(store) as reader:
        same = await reader.read(row(uri, sha256=hashlib.sha256(b"bytes").digest()))
        assert not same.first_read
        with pytest.raises(RowFailed) as failed:
            await reader.read(row(uri, sha256=bytes(32)))
    assert failed.value.code == "content_changed"
