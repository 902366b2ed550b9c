"""What a frontend has: HTTP with a bearer key, and a websocket. The demonstration uses nothing else."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
from websockets.asyncio.client import connect

Json = dict[str, Any]
_SUBPROTOCOL = "prelabel.v1"


class Refused(RuntimeError):
    """An answer that is not 2xx, as its problem tells."""


class Gateway:
    """The HTTP interface."""

    def __init__(self, url: str, api_key: str) -> None:
        self._client = httpx2.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=60, trust_env=False
        )

    async def get(self, path: str, **query: object) -> Json:
        return self._json(await self._client.get(path, params={k: str(v) for k, v in query.items()}))

    async def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Json:
        """Every POST that creates carries a key, so that a repeat after a lost answer changes nothing."""
        sent = {"Idempotency-Key": str(uuid4()), **(headers or {})}
        return self._json(await self._client.post(path, json=body, headers=sent))

    async def patch(self, path: str, changes: object, etag: str) -> Json:
        """A merge patch of what was read with this ETag."""
        return self._json(await self._client.patch(path, json=changes, headers={"If-Match": etag}))

    async def upload(self, path: str, files: Sequence[tuple[str, bytes]]) -> Json:
        parts = [("file", (name, content, "application/octet-stream")) for name, content in files]
        return self._json(await self._client.post(path, files=parts))

    async def pages(self, path: str, **query: object) -> AsyncIterator[Json]:
        """Every item of a list, page by page."""
        token: str | None = None
        while True:
            page = await self.get(path, **query, page_size=500, **({"page_token": token} if token else {}))
            for item in page["items"]:
                yield item
            token = page["next_page_token"]
            if token is None:
                return

    async def content(self, data_row_id: str) -> bytes:
        answer = await self._client.get(f"/v1/data-rows/{data_row_id}/content")
        if not answer.is_success:
            raise Refused(f"the content of {data_row_id}: {answer.status_code}")
        return answer.content

    async def etag(self, path: str) -> str:
        answer = await self._client.get(path)
        self._json(answer)
        return str(answer.headers["ETag"])

    async def close(self) -> None:
        await self._client.aclose()

    @staticmethod
    def _json(answer: httpx2.Response) -> Json:
        if not answer.is_success:
            raise Refused(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
        body: Json = answer.json()
        return body


class Channel:
    """The websocket interface, subscribed to one topic."""

    def __init__(self, messages: AsyncIterator[Json]) -> None:
        self._messages = messages

    def __aiter__(self) -> AsyncIterator[Json]:
        return self._messages


@asynccontextmanager
async def subscribed(gateway: Gateway, notifier_url: str, topic: str) -> AsyncIterator[Channel]:
    """A socket of its own, from ticket to subscription; what is sent from now on arrives."""
    ticket = (await gateway.post("/v1/websocket-tickets", {}))["ticket"]
    url = notifier_url.replace("http", "ws", 1) + "/v1/ws"
    async with connect(url, subprotocols=[_SUBPROTOCOL], compression=None, proxy=None) as socket:  # type: ignore[list-item]

        async def messages() -> AsyncIterator[Json]:
            async for text in socket:
                message: Json = json.loads(text)
                if message["type"] == "error":
                    raise Refused(str(message["problem"]))
                if message["type"] == "ping":
                    await socket.send(json.dumps({"type": "pong"}))
                yield message

        incoming = messages()
        await socket.send(json.dumps({"type": "init", "ticket": ticket}))
        await _next(incoming, "ready")
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "topic": topic}))
        await _next(incoming, "subscribed")
        yield Channel(incoming)


async def _next(messages: AsyncIterator[Json], kind: str) -> Json:
    async for message in messages:
        if message["type"] == kind:
            return message
    raise Refused(f"the socket closed before {kind!r}")
