"""A project's events for those who cannot hold a websocket: server-sent, by the same hub, stream and client.

A block without a name is an event as it was logged, with `<epoch>:<offset>` as its id. The named ones are `subscribed`
(first, and again when history was lost), `progress` and `closed`.
"""

import math
import random
import re
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from services.notifier.client import Client
from services.notifier.desk import Desk
from services.notifier.frames import SharedFrame
from services.notifier.heartbeat import SILENT_HEARTBEATS, first_pinged_at
from services.notifier.log import Opening
from services.notifier.origins import origin_is_allowed
from services.notifier.parts import Notifier
from services.notifier.server_sent_blocks import COMMENT, moved_block, named_block, pause_block
from services.notifier.server_sent_wire import server_sent_wire_of
from services.notifier.stream import KeyGuard, Subscription
from services.notifier.tickets import Identity, Tickets
from services.notifier.topics import ProjectTopic
from shared.contracts.http import Problem
from shared.contracts.messages import CloseCode, Opened, Position
from shared.database.event_log import LoggedEvent
from shared.errors import Forbidden, NotFound, TooManyRequests, Unauthenticated

_PAUSE_MILLISECONDS = (500, 3_000)
_PLACE = re.compile(r"([^:]{1,64}):([0-9]{1,19})")
_HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"connection", b"close"),
    (b"x-accel-buffering", b"no"),  # or nginx would keep events back
]


async def stream_project_events(request: Request) -> "ServerSentEvents":
    """Without `Last-Event-ID` a snapshot and what follows it; with it exactly what was missed, or a snapshot."""
    notifier: Notifier = request.app.state.notifier
    if not origin_is_allowed(request, notifier.settings.allowed_origins):
        raise Forbidden("this origin is not allowed")
    if notifier.desk.is_full:
        raise TooManyRequests("too many connections; come back later", headers={"Retry-After": "5"})
    wanted = _wanted(request.path_params["project_id"])
    identity = await _identify(request, notifier.desk.tickets)
    await notifier.desk.catch_up.check(identity, wanted)
    return ServerSentEvents(notifier.desk, identity, wanted, _after(request))


@dataclass(frozen=True, slots=True)
class ServerSentEvents:
    """The answer: it ends when either side closes."""

    desk: Desk
    identity: Identity
    wanted: ProjectTopic
    after: Position | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        wire, limits = server_sent_wire_of(scope), self.desk.limits
        client = Client(wire, limits.queue_bytes, heard_at=math.inf, ping=COMMENT)
        guard = KeyGuard(client=client)
        self.desk.hub.enter(client)
        try:
            identity = await self.desk.admit(guard, self.identity)
            if client.is_closed:
                raise Unauthenticated("the API key serves no more")
            await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
            wire.begin(SILENT_HEARTBEATS * limits.heartbeat_seconds)
            client.pinged_at = first_pinged_at(limits.heartbeat_seconds)
            client.send(pause_block(random.randint(*_PAUSE_MILLISECONDS)))
            subscription = ServerSentSubscription(id="", client=client, identity=identity, wanted=self.wanted)
            self.desk.subscribe(subscription, self.after)
            await wire.gone()
        finally:
            self.desk.dismiss(guard)
            self.desk.hub.exit(client)


@dataclass(eq=False, slots=True, kw_only=True)
class ServerSentSubscription(Subscription):
    """`epoch` is that of its offsets."""

    epoch: str = ""

    def say_opened(self, opening: Opening) -> None:
        self.epoch = str(opening.head.epoch)
        opened = Opened(
            epoch=self.epoch,
            offset=opening.offset,
            recovered=opening.snapshot is None,
            snapshot=opening.snapshot,
        )
        self.client.send(named_block("subscribed", opened, f"{self.epoch}:{opening.offset}"))

    def refuse(self, problem: Problem) -> None:
        # Who comes back is told by the status.
        self.client.close(CloseCode.RESTART, problem.detail)

    def move_to(self, position: int) -> None:
        self.told = position
        self.client.send(moved_block(f"{self.epoch}:{position}"))

    def receive(self, event: LoggedEvent, frame: SharedFrame) -> None:
        if event.offset > self.offset:
            self.offset = self.told = event.offset
            self.client.send(frame.block())

    def receive_progress(self, model_run_id: UUID, frame: SharedFrame) -> None:
        self.client.send_progress(frame.block(), (self.id, model_run_id))


def _wanted(project_id: str) -> ProjectTopic:
    try:
        return ProjectTopic(UUID(project_id))
    except ValueError:
        raise NotFound() from None


async def _identify(request: Request, tickets: Tickets) -> Identity:
    scheme, _, api_key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await tickets.identify(api_key.strip())
    ticket = request.query_params.get("ticket")
    if ticket:
        return await tickets.redeem(ticket)
    raise Unauthenticated("send an API key as `Authorization: Bearer plk_…`, or a ticket as `?ticket=`")


def _after(request: Request) -> Position | None:
    """The header is newer than the address: a browser comes back to the same address with what it saw last."""
    last = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    if not last:
        return None
    place = _PLACE.fullmatch(last)
    if place is None:
        return Position(epoch="", offset=0)  # no place in any log: the answer is a snapshot
    return Position(epoch=place[1], offset=int(place[2]))
