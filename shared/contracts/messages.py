"""Every websocket message of `/v1/ws`. To add one: write its class, name it in `ClientMessage` or `ServerMessage`.
At the end, what is said besides events in the server-sent stream of a project.

The conversation, in short: `init` with a ticket, `ready`, then any number of `subscribe`; each is answered by
`subscribed` and followed by events without a gap. Both sides may `ping`, the other answers `pong`; a client that says
nothing for two and a half heartbeats is closed. `subscribed` with `recovered: false` means: replace what you know by
the snapshot. The server may send it again later for the same id, when history was lost.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, TypeAdapter, model_serializer

from shared.contracts.envelope import Envelope
from shared.contracts.http import Problem
from shared.contracts.resources import ModelRun, Notifications, Preview, Project

SUBPROTOCOL = "prelabel.v1"


class CloseCode(IntEnum):
    """Why the server closed. After 4408, 4429 and 1012 reconnect with jitter and resume; the others need a change."""

    RESTART = 1012
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    TIMEOUT = 4408
    TOO_MANY = 4429


CLOSE_CODES: Mapping[CloseCode, str] = {
    CloseCode.RESTART: "the notifier restarts, or cannot serve now; reconnect with jitter and resume from your offset",
    CloseCode.BAD_MESSAGE: "a message that is no JSON text of this protocol, or the subprotocol is missing",
    CloseCode.UNAUTHORIZED: "the ticket is unknown, used or too old, or its API key serves no more",
    CloseCode.FORBIDDEN: "pages of this origin may not call; see ALLOWED_ORIGINS",
    CloseCode.TIMEOUT: "no `init` within ten seconds, or silent for two and a half heartbeats; reconnect and resume",
    CloseCode.TOO_MANY: "too many connections or messages, or reading too slowly; reconnect with jitter and resume",
}


class _FromClient(BaseModel):
    """Read leniently: unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _FromServer(BaseModel):
    """Written strictly: an undeclared field is a contract bug."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


SubscriptionId = Annotated[
    str, Field(min_length=1, max_length=64, description="chosen by the client, unique in its connection")
]
Offset = Annotated[int, Field(ge=0)]


class Position(BaseModel):
    """A place in a stream: the last offset seen. Offsets of another epoch mean nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: str = Field(max_length=64)
    offset: Offset


class Init(_FromClient):
    """First message, within ten seconds. The ticket comes from `POST /v1/websocket-tickets` and serves once."""

    type: Literal["init"] = "init"
    ticket: str = Field(min_length=1, max_length=512)


class Subscribe(_FromClient):
    """Without `after`: a snapshot and what follows it. With it: exactly what was missed, or a snapshot."""

    type: Literal["subscribe"] = "subscribe"
    id: SubscriptionId
    topic: str = Field(
        min_length=1,
        max_length=200,
        description="`project:<id>`, `model_run:<id>`, `preview:<id>` or `notifications`",
        examples=["project:0199f1a2-7c5e-7f0a-8d3b-5c6e7f809102", "notifications"],
    )
    after: Position | None = None


class Unsubscribe(_FromClient):
    type: Literal["unsubscribe"] = "unsubscribe"
    id: SubscriptionId


class ClientPing(_FromClient):
    type: Literal["ping"] = "ping"


class ClientPong(_FromClient):
    """Answer to a `ping`; it need not be exact, any message shows that the client lives."""

    type: Literal["pong"] = "pong"


ClientMessage = Annotated[
    Init | Subscribe | Unsubscribe | ClientPing | ClientPong,
    Field(discriminator="type"),
]


class Ready(_FromServer):
    type: Literal["ready"] = "ready"
    heartbeat_seconds: float


class Opened(_FromServer):
    """Events after `offset` follow. `snapshot` is there exactly when `recovered` is false and equals the GET body."""

    epoch: str
    offset: Offset
    recovered: bool
    snapshot: Project | ModelRun | Preview | Notifications | None = None

    @model_serializer(mode="wrap")
    def _without_empty_snapshot(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = serialize(self)
        if self.snapshot is None:
            del written["snapshot"]
        return written


class _Subscribed(_FromServer):
    type: Literal["subscribed"] = "subscribed"
    id: SubscriptionId


class Subscribed(Opened, _Subscribed):
    """Events after `offset` follow. `snapshot` is there exactly when `recovered` is false and equals the GET body."""


class Unsubscribed(_FromServer):
    type: Literal["unsubscribed"] = "unsubscribed"
    id: SubscriptionId


class EventMessage(_FromServer):
    """One logged event. Offsets rise by one on `project` topics and with holes on the others."""

    type: Literal["event"] = "event"
    id: SubscriptionId
    offset: Offset
    event: Envelope


class RunProgress(_FromServer):
    """How far a run or a preview is; the id that is there says which. Last value wins; never logged, may be skipped;
    the terminal event is exact."""

    model_run_id: UUID | None = None
    preview_id: UUID | None = None
    done: int
    total: int
    failed: int
    rows_per_second: float | None
    eta_seconds: float | None

    @model_serializer(mode="wrap")
    def _with_one_id(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = serialize(self)
        for name in ("model_run_id", "preview_id"):
            if written[name] is None:
                del written[name]
        return written


class ProgressMessage(RunProgress):
    type: Literal["progress"] = "progress"
    id: SubscriptionId


class PositionMessage(_FromServer):
    """Nothing for this subscription up to `offset`: resume from here and less has to be looked through."""

    type: Literal["position"] = "position"
    id: SubscriptionId
    offset: Offset


class ErrorMessage(_FromServer):
    """A refused request; the connection stays. Where the code is `conflict`, an older subscription has that id."""

    type: Literal["error"] = "error"
    id: SubscriptionId
    problem: Problem


class ServerPing(_FromServer):
    """Answer with `pong`: browsers cannot show the pings of the websocket protocol itself."""

    type: Literal["ping"] = "ping"


class ServerPong(_FromServer):
    type: Literal["pong"] = "pong"


ServerMessage = Annotated[
    Ready
    | Subscribed
    | Unsubscribed
    | EventMessage
    | ProgressMessage
    | PositionMessage
    | ErrorMessage
    | ServerPing
    | ServerPong,
    Field(discriminator="type"),
]


class Closed(_FromServer):
    """The last thing in a server-sent stream that the server ends: what a websocket would be closed with."""

    code: CloseCode
    reason: str


CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)
SERVER_MESSAGE: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)
