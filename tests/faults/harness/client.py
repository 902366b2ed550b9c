"""A frontend that never gives up and writes down every answer: it repeats what got none, with the same key."""

import asyncio
import json
import time
from typing import Any

import httpx2

from deploy.local.demo.client import Gateway
from tests.faults.harness.history import History

_PATIENCE_SECONDS = 90.0
_PAUSE_SECONDS = 0.1
# Fewer than one key may have under way, however many subscribers fetch their tickets.
_LIMITS = httpx2.Limits(max_connections=40)
_AGAIN = {500, 502, 503, 504}
_IN_FLIGHT = "idempotency_key_in_use"


class InsistentGateway(Gateway):
    """Every answer is in the history, those of 5xx too: the checker judges them, the client asks again."""

    def __init__(self, url: str, api_key: str, history: History) -> None:
        super().__init__(url, api_key)
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=30,
            transport=_Recording(history),
        )


class _Recording(httpx2.AsyncBaseTransport):
    def __init__(self, history: History) -> None:
        self._history = history
        self._inner = httpx2.AsyncHTTPTransport(limits=_LIMITS)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            answer = await self._once(request)
            if answer is not None and not _is_to_repeat(answer):
                return answer
            if time.monotonic() > deadline:
                raise httpx2.ConnectError("nobody answers", request=request)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _once(self, request: httpx2.Request) -> httpx2.Response | None:
        about = {"method": request.method, "path": request.url.path}
        try:
            answer = await self._inner.handle_async_request(request)
            await answer.aread()
        except httpx2.TransportError as error:
            self._history.note("lost", **about, why=type(error).__name__)
            return None
        sent = _body(request.headers.get("content-type", ""), request.content)
        told = _body(answer.headers.get("content-type", ""), answer.content)
        self._history.note("http", **about, status=answer.status_code, body=told, sent=sent)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


def _is_to_repeat(answer: httpx2.Response) -> bool:
    if answer.status_code == 409:
        return _IN_FLIGHT in answer.text
    return answer.status_code in _AGAIN


def _body(content_type: str, content: bytes) -> Any:
    return json.loads(content) if content and "json" in content_type else None
