"""Reads a server-sent stream as the specification says, but keeps the bytes of what it reads."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True)
class Block:
    """`name` is None for what a browser gives to `onmessage`; a comment has no data."""

    name: str | None
    id: str | None
    data: str
    fields: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Stream:
    """Whoever reads in vain for five seconds has failed."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._chunks = answer.aiter_bytes()
        self._unread = b""

    async def read(self, timeout_seconds: float = 5) -> Block:
        """The next block that is neither a comment nor a pause."""
        while True:
            block = await self.block(timeout_seconds)
            if block.data:
                return block

    async def read_many(self, count: int) -> list[Block]:
        return [await self.read() for _ in range(count)]

    async def block(self, timeout_seconds: float = 5) -> Block:
        async with asyncio.timeout(timeout_seconds):
            while b"\n\n" not in self._unread:
                self._unread += await anext(self._chunks)
        whole, _, self._unread = self._unread.partition(b"\n\n")
        return _block(whole.decode())

    async def ended(self, timeout_seconds: float = 6) -> Block:
        """Read on until the server ends it; the last block."""
        last: Block | None = None
        try:
            while True:
                last = await self.read(timeout_seconds)
        except StopAsyncIteration:
            assert last is not None, "it said nothing"
            return last


@asynccontextmanager
async def streaming(url: str, headers: Mapping[str, str] | None = None, **query: str) -> AsyncIterator[Stream]:
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=30) as client,
        client.stream("GET", url, headers=headers, params=query) as answer,
    ):
        if answer.status_code != 200:
            await answer.aread()
        yield Stream(answer)


def _block(text: str) -> Block:
    fields: dict[str, str] = {}
    data = []
    for line in text.split("\n"):
        name, _, value = line.partition(": ")
        if name == "data":
            data.append(value)
        else:
            fields[name] = value
    return Block(fields.get("event"), fields.get("id"), "\n".join(data), fields)
