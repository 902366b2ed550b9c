"""`python -m services.notifier.asyncapi`: write the AsyncAPI document of the notifier to docs/asyncapi.json."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from shared.contracts.envelope import Envelope
from shared.contracts.event import Event
from shared.contracts.events import EVENTS
from shared.contracts.messages import (
    CLOSE_CODES,
    SUBPROTOCOL,
    ClientMessage,
    Closed,
    ErrorMessage,
    EventMessage,
    Init,
    Opened,
    Position,
    Ready,
    RunProgress,
    ServerMessage,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
)

PATH = Path(__file__).parents[2] / "docs" / "asyncapi.json"
Json = dict[str, Any]

CLIENT_MESSAGES: tuple[type[BaseModel], ...] = get_args(get_args(ClientMessage)[0])
SERVER_MESSAGES: tuple[type[BaseModel], ...] = get_args(get_args(ServerMessage)[0])

BLOCKS: Mapping[str, tuple[type[BaseModel], str]] = {
    "message": (Envelope, "A block without a name: one logged event, byte for byte as in the websocket's `event`."),
    "subscribed": (Opened, "The first block, and again when history was lost: events after its id follow."),
    "progress": (RunProgress, "How far a run or a preview is; last value wins. It has no id."),
    "closed": (Closed, "The last block of a stream that the server ends."),
}
"""What a server-sent stream says, by the name a browser's EventSource gives it to."""

_CHANNEL = "#/channels/websocket"
_STREAM = "#/channels/serverSent"
_PROJECT = "0199f1a2-7c5e-7f0a-8d3b-5c6e7f809102"
_EPOCH = "0199f1a2-7c5e-7f0a-8d3b-000000000001"
EXAMPLES: tuple[BaseModel, ...] = (
    Init(ticket="9fT0…"),
    Subscribe(id="1", topic=f"project:{_PROJECT}"),
    Subscribe(id="1", topic=f"project:{_PROJECT}", after=Position(epoch=_EPOCH, offset=123)),
    Unsubscribe(id="1"),
    Ready(heartbeat_seconds=20),
    Subscribed(id="1", epoch=_EPOCH, offset=123, recovered=True),
    Unsubscribed(id="1"),
)


def asyncapi_document() -> str:
    """Sorted and indented, so that a change reads well as a difference."""
    return json.dumps(_document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _document() -> Json:
    messages = dict(_messages())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Prelabel notifier",
            "version": "1",
            "description": "Follow a project's event log, live and from any offset. Clients must ignore fields and "
            "event types they do not know: both change by addition only. `docs/websocket.md` explains it with "
            "two short clients.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "localhost:8001", "protocol": "ws", "description": "What `make up` starts"},
            "localHttp": {"host": "localhost:8001", "protocol": "http", "description": "The same, for streams"},
        },
        "channels": {"websocket": _channel(messages), "serverSent": _stream_channel()},
        "operations": _operations() | _stream_operations(),
        "components": {"messages": messages | _blocks(), "schemas": _schemas()},
    }


def _channel(messages: Mapping[str, Json]) -> Json:
    return {
        "address": "/v1/ws",
        "title": "Websocket",
        "description": f"Subprotocol `{SUBPROTOCOL}`; JSON texts of at most 64 KiB from the client. It begins with "
        "`init`, whose ticket comes from `POST /v1/websocket-tickets` of the HTTP interface and serves once, for 30 "
        "seconds.",
        "servers": [{"$ref": "#/servers/local"}],
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "x-subprotocol": SUBPROTOCOL,
        "x-close-codes": {str(code.value): meaning for code, meaning in CLOSE_CODES.items()},
    }


def _stream_channel() -> Json:
    return {
        "address": "/v1/projects/{project_id}/events/stream",
        "title": "Server-sent events of a project",
        "description": "`text/event-stream`, by GET. An API key as `Authorization: Bearer plk_…`, or a ticket from "
        "`POST /v1/websocket-tickets` as `?ticket=`. The id of a block is `<epoch>:<offset>`; send it as "
        "`Last-Event-ID` or `?last_event_id=` to go on there. What is refused is answered by a status and a problem.",
        "parameters": {"project_id": {"description": "the project's id"}},
        "servers": [{"$ref": "#/servers/localHttp"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _blocks()},
    }


def _stream_operations() -> Json:
    return {
        f"stream{name.removeprefix('serverSent.').capitalize()}": {
            "action": "send",
            "summary": block["summary"],
            "channel": {"$ref": _STREAM},
            "messages": [{"$ref": f"{_STREAM}/messages/{name}"}],
        }
        for name, block in _blocks().items()
    }


def _blocks() -> Json:
    return {
        f"serverSent.{name}": {
            "name": name,
            "title": f"Block {name}",
            "summary": summary,
            "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        }
        for name, (model, summary) in BLOCKS.items()
    }


def _operations() -> Json:
    """As AsyncAPI 3 has them: `receive` and `send` are what the notifier does."""
    answers: dict[type[BaseModel], tuple[type[BaseModel], ...]] = {
        Init: (Ready,),
        Subscribe: (Subscribed, ErrorMessage),
        Unsubscribe: (Unsubscribed, ErrorMessage),
    }
    receive = {
        f"receive{one.__name__}": {
            "action": "receive",
            "summary": _summary(one),
            "channel": {"$ref": _CHANNEL},
            "messages": _refs([one.__name__]),
            **({"reply": _reply(answers[one])} if one in answers else {}),
        }
        for one in CLIENT_MESSAGES
    }
    send = {
        f"send{one.__name__}": {
            "action": "send",
            "summary": _summary(one),
            "channel": {"$ref": _CHANNEL},
            "messages": _refs([one.__name__, *_events_in(one)]),
        }
        for one in SERVER_MESSAGES
    }
    return receive | send


def _reply(answers: Iterable[type[BaseModel]]) -> Json:
    return {"channel": {"$ref": _CHANNEL}, "messages": _refs(answer.__name__ for answer in answers)}


def _events_in(message: type[BaseModel]) -> list[str]:
    return [event.type for event in EVENTS] if message is EventMessage else []


def _messages() -> Iterator[tuple[str, Json]]:
    for one in (*CLIENT_MESSAGES, *SERVER_MESSAGES):
        shown = [example.model_dump(mode="json") for example in EXAMPLES if type(example) is one]
        yield (
            one.__name__,
            {
                "name": one.model_fields["type"].default,
                "title": one.__name__,
                "summary": _summary(one),
                "payload": {"$ref": f"#/components/schemas/{one.__name__}"},
                **({"examples": [{"payload": payload} for payload in shown]} if shown else {}),
            },
        )
    for event in EVENTS:
        yield event.type, _event_message(event)


def _event_message(event: type[Event]) -> Json:
    """The `event` message with this event in it."""
    inside = {
        "type": {"const": event.type},
        "version": {"const": event.version},
        "subject": {"properties": {"kind": {"const": event.subject_kind}}},
        "data": {"$ref": f"#/components/schemas/{event.__name__}"},
    }
    return {
        "name": "event",
        "title": event.type,
        "summary": _summary(event),
        "tags": [{"name": "notifies"}] if event.notifies else [],
        "payload": {
            "allOf": [{"$ref": "#/components/schemas/EventMessage"}, {"properties": {"event": {"properties": inside}}}]
        },
    }


def _schemas() -> Json:
    in_blocks = (model for model, _ in BLOCKS.values())
    models: tuple[type[BaseModel], ...] = (*CLIENT_MESSAGES, *SERVER_MESSAGES, *EVENTS, *in_blocks)
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
        schema_generator=_AsyncApiSchema,
    )
    schemas: Json = definitions["$defs"]
    return schemas


class _AsyncApiSchema(GenerateJsonSchema):
    """What clients may rely on: a message has its `type`, and may have fields that are added later."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        constant = field["schema"].get("schema", {}).get("type") == "literal" and "default" in field["schema"]
        return constant or super().field_is_required(field, total)

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        return {name: value for name, value in super().model_schema(schema).items() if name != "additionalProperties"}

    def tuple_schema(self, schema: core_schema.TupleSchema) -> Json:
        # JSON Schema draft 7, AsyncAPI's own dialect, says it with `items`.
        found = super().tuple_schema(schema)
        return {"items" if name == "prefixItems" else name: value for name, value in found.items()}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> Json:
        # AsyncAPI has another `discriminator`; the constants of the members say as much.
        return {name: value for name, value in super().tagged_union_schema(schema).items() if name != "discriminator"}


def _refs(names: Iterable[str]) -> list[Json]:
    return [{"$ref": f"{_CHANNEL}/messages/{name}"} for name in names]


def _summary(model: type[BaseModel]) -> str:
    """Its docstring, or that of what it is one of."""
    own = model.__doc__ or model.__name__
    return " ".join(own.split())


def main() -> None:
    PATH.write_text(asyncapi_document(), encoding="utf-8")
    sys.stdout.write(f"{PATH}\n")


if __name__ == "__main__":
    main()
