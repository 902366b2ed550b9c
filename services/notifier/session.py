"""The conversation with one client, from its ticket to its end."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from pydantic import ValidationError

from services.notifier.client import Client
from services.notifier.desk import Desk
from services.notifier.frames import PONG, frame_of
from services.notifier.heartbeat import first_pinged_at
from services.notifier.stream import KeyGuard, Subscription
from services.notifier.tickets import Identity
from services.notifier.topics import parse_topic
from shared.contracts.http import Problem, problem_of
from shared.contracts.messages import (
    CLIENT_MESSAGE,
    ClientMessage,
    ClientPing,
    ClientPong,
    CloseCode,
    ErrorMessage,
    Init,
    Ready,
    Subscribe,
    Unsubscribe,
    Unsubscribed,
)
from shared.errors import Conflict, NotFound, PrelabelError, TooManyRequests, Unauthenticated, Unavailable
from shared.telemetry import logger

log = logger(__name__)
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Session:
    """`receive` gives ASGI websocket messages."""

    __slots__ = ("_client", "_desk", "_guard", "_receive")

    def __init__(self, desk: Desk, client: Client, receive: Receive) -> None:
        self._desk = desk
        self._client = client
        self._receive = receive
        self._guard = KeyGuard(client=client)

    async def run(self) -> None:
        try:
            await self._converse()
        except _Gone:
            pass
        except _Refused as refused:
            self._client.close(refused.code, refused.reason)
        except Unavailable as error:
            self._client.close(CloseCode.RESTART, f"{error.detail}; reconnect")
        except Exception:  # a bug must cost one connection, not the process
            log.exception("session_failed")
            self._client.close(CloseCode.RESTART, "something went wrong on our side; reconnect")
        finally:
            self._desk.dismiss(self._guard)

    async def _converse(self) -> None:
        identity = await self._init()
        heartbeat_seconds = self._desk.limits.heartbeat_seconds
        self._client.send(frame_of(Ready(heartbeat_seconds=heartbeat_seconds)))
        self._client.pinged_at = first_pinged_at(heartbeat_seconds)
        while True:
            message = await self._next()
            try:
                self._answer(identity, message)
            except PrelabelError as error:
                if not isinstance(message, Subscribe | Unsubscribe):
                    raise
                problem = Problem.model_validate(problem_of(error))
                self._client.send(frame_of(ErrorMessage(id=message.id, problem=problem)))

    async def _init(self) -> Identity:
        try:
            async with asyncio.timeout(self._desk.limits.init_seconds):
                message = await self._next()
        except TimeoutError:
            raise _Refused(CloseCode.TIMEOUT, "no init message came in time") from None
        if not isinstance(message, Init):
            raise _Refused(CloseCode.UNAUTHORIZED, "the first message must be init")
        try:
            return await self._desk.admit(self._guard, await self._desk.tickets.redeem(message.ticket))
        except (Unauthenticated, NotFound) as error:
            raise _Refused(CloseCode.UNAUTHORIZED, error.detail) from None

    async def _next(self) -> ClientMessage:
        message = await self._receive()
        if message["type"] == "websocket.disconnect" or self._client.is_closed:
            raise _Gone
        self._client.heard_at = asyncio.get_running_loop().time()
        text = message.get("text")
        if text is None:
            raise _Refused(CloseCode.BAD_MESSAGE, "messages are JSON texts")
        try:
            return CLIENT_MESSAGE.validate_json(text)
        except ValidationError as error:
            raise _Refused(CloseCode.BAD_MESSAGE, _reason(error)) from None

    def _answer(self, identity: Identity, message: ClientMessage) -> None:
        match message:
            case Subscribe():
                self._subscribe(identity, message)
            case Unsubscribe():
                self._unsubscribe(message.id)
            case ClientPing():
                self._client.send(PONG)
            case ClientPong():
                pass
            case Init():
                raise _Refused(CloseCode.BAD_MESSAGE, "init was sent already")

    def _subscribe(self, identity: Identity, message: Subscribe) -> None:
        subscriptions = self._client.subscriptions
        if message.id in subscriptions:
            raise Conflict(f"the id {message.id!r} is in use in this connection")
        if len(subscriptions) >= self._desk.limits.max_subscriptions:
            raise TooManyRequests(f"at most {self._desk.limits.max_subscriptions} subscriptions a connection")
        wanted = parse_topic(message.topic)
        subscription = Subscription(id=message.id, client=self._client, identity=identity, wanted=wanted)
        self._desk.subscribe(subscription, message.after)
        log.info("subscribed", topic=message.topic, workspace_id=str(identity.workspace_id))

    def _unsubscribe(self, subscription_id: str) -> None:
        subscription = self._client.subscriptions.get(subscription_id)
        if subscription is None:
            raise NotFound(f"there is no subscription {subscription_id!r}")
        self._desk.unsubscribe(subscription)
        self._client.send(frame_of(Unsubscribed(id=subscription_id)))


class _Gone(Exception):
    """The client has closed, or was closed."""


class _Refused(Exception):
    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def _reason(error: ValidationError) -> str:
    """What was wrong first, without the value: it may be a ticket, and a close reason has 123 bytes."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or "message"
    return f"{place}: {first['type']}"[:100].encode("ascii", "replace").decode()
