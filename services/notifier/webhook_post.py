"""One attempt: the event signed by the Standard Webhooks scheme, and what the receiver said."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import httpx
from httpx_secure import SSRFProtectionError
from standardwebhooks import Webhook

from shared.egress import HostNotAllowed, HostRules, guarded_client

_READ_AT_MOST = 16 * 1024
_LONGEST_WISH_SECONDS = 24 * 3600
# How many there are at once, the caller says: waiting for a connection would count against the receiver.
_NO_LIMIT = httpx.Limits(max_connections=None, max_keepalive_connections=20)


@dataclass(frozen=True, slots=True)
class Message:
    """`secrets`: the one in use, and while a rotation lasts, the one before. URLs hold tokens: no log shows either."""

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    event_id: UUID
    payload: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is None when there was none; `retry_after_seconds` is what the receiver asked for."""

    status: int | None
    detail: str | None
    seconds: float
    retry_after_seconds: float = 0

    @property
    def is_success(self) -> bool:
        return self.status is not None and httpx.codes.is_success(self.status)

    @property
    def is_gone(self) -> bool:
        return self.status == httpx.codes.GONE


class _PayloadDropped(Exception):
    pass


class Poster:
    def __init__(self, rules: HostRules, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        # `post` bounds the whole attempt, and that alone.
        self._client = guarded_client(rules, timeout=httpx.Timeout(None), limits=_NO_LIMIT)
        checks = self._client.event_hooks["request"]
        self._client.event_hooks = {"request": [*checks, _keeps_payload]}

    async def post(self, message: Message) -> Answer:
        """Raises nothing: whatever a receiver does is an answer."""
        began = time.monotonic()
        status: int | None = None
        detail: str | None = None
        wish = 0.0
        try:
            async with asyncio.timeout(self._timeout):
                status, wish = await self._ask(message)
            if not httpx.codes.is_success(status):
                detail = f"the receiver answered {status}"
        except TimeoutError:
            detail = f"no answer within {self._timeout:g} s"
        except (HostNotAllowed, SSRFProtectionError, UnicodeError):
            detail = "the URL, or a redirect, leads to an address that is not allowed"
        except _PayloadDropped:
            detail = "the receiver redirects in a way that drops the payload; only 307 and 308 are followed"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = f"the receiver did not answer: {type(error).__name__}"
        return Answer(status, detail, time.monotonic() - began, wish)

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, message: Message) -> tuple[int, float]:
        body = message.payload.encode()
        async with self._client.stream("POST", message.url, content=body, headers=_headers(message)) as response:
            read = 0
            # A short answer is read to its end, so that the connection serves the next event too.
            async for part in response.aiter_raw():
                read += len(part)
                if read > _READ_AT_MOST:
                    break
            return response.status_code, _wish(response.headers.get("retry-after", ""))


def _headers(message: Message) -> dict[str, str]:
    now = datetime.now(UTC)
    event_id = str(message.event_id)
    signatures = (Webhook(secret).sign(event_id, now, message.payload) for secret in message.secrets)
    return {
        "content-type": "application/json",
        "user-agent": "prelabel-webhooks",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


async def _keeps_payload(request: httpx.Request) -> None:
    # 301, 302 and 303 become a GET, and its 200 would say nothing about the event.
    if request.method != "POST":
        raise _PayloadDropped


def _wish(retry_after: str) -> float:
    if retry_after.isascii() and retry_after.isdigit():
        return float(min(int(retry_after[:10]), _LONGEST_WISH_SECONDS))
    return 0
