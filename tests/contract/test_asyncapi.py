"""What docs/asyncapi.json promises: it is the one of this code, and complete and sound as AsyncAPI 3.0 asks.

It was held against the JSON schema of AsyncAPI 3.0.0 (the npm package `@asyncapi/specs`) by hand; here is what that
schema would find, so that no test needs the network.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.notifier.asyncapi import BLOCKS, CLIENT_MESSAGES, EXAMPLES, PATH, SERVER_MESSAGES, asyncapi_document
from shared.contracts.events import EVENTS
from shared.contracts.messages import CLIENT_MESSAGE, SERVER_MESSAGE, SUBPROTOCOL, CloseCode

DOCUMENT: dict[str, Any] = json.loads(asyncapi_document())
CHANNEL = DOCUMENT["channels"]["websocket"]
STREAM = DOCUMENT["channels"]["serverSent"]
MESSAGES = DOCUMENT["components"]["messages"]
SCHEMAS = DOCUMENT["components"]["schemas"]
_ALLOWED = {
    "root": {"asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components"},
    "channel": {"address", "title", "description", "bindings", "messages", "parameters", "servers"},
    "operation": {"action", "summary", "channel", "messages", "reply"},
    "message": {"name", "title", "summary", "tags", "payload", "examples"},
}
_OF_LATER_DRAFTS = {
    "$defs",
    "prefixItems",
    "unevaluatedProperties",
    "dependentRequired",
    "minContains",
    "discriminator",
}


def test_document_in_the_repository_is_that_of_the_code() -> None:
    assert PATH.read_text(encoding="utf-8") == asyncapi_document(), "run `make asyncapi`"


def test_every_part_has_only_what_asyncapi_knows() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert set(DOCUMENT) == _ALLOWED["root"]
    for channel in DOCUMENT["channels"].values():
        assert _own(channel) <= _ALLOWED["channel"]
    for operation in DOCUMENT["operations"].values():
        assert _own(operation) <= _ALLOWED["operation"]
        assert operation["action"] in {"send", "receive"}
        assert set(operation.get("reply", {})) <= {"channel", "messages"}
    for message in MESSAGES.values():
        assert _own(message) <= _ALLOWED["message"]
        assert message["summary"]
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= set(server)


def test_names_are_those_asyncapi_allows() -> None:
    names = [*MESSAGES, *SCHEMAS, *DOCUMENT["operations"], *DOCUMENT["channels"], *DOCUMENT["servers"]]
    assert all(re.fullmatch(r"[\w.-]+", name) for name in names)


def test_every_reference_leads_somewhere() -> None:
    found = [value for key, value in _members(DOCUMENT) if key == "$ref"]
    assert len(found) > len(MESSAGES)
    for reference in found:
        assert _resolve(reference), reference


def test_messages_of_operations_are_references_into_their_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            assert channel.removeprefix("#/channels/") in DOCUMENT["channels"]
            assert all(one["$ref"].startswith(f"{channel}/messages/") for one in part["messages"])


def test_every_message_goes_one_way() -> None:
    ways = {"receive": CLIENT_MESSAGES, "send": SERVER_MESSAGES}
    events = {event.type for event in EVENTS}
    for action, classes in ways.items():
        operations = [one for one in _operations("websocket") if one["action"] == action]
        named = [message["$ref"].rpartition("/")[2] for one in operations for message in one["messages"]]
        assert sorted(named) == sorted([one.__name__ for one in classes] + (sorted(events) if action == "send" else []))
    assert {*CHANNEL["messages"], *STREAM["messages"]} == set(MESSAGES)


def test_every_block_of_a_stream_is_described() -> None:
    blocks = {MESSAGES[name]["name"]: MESSAGES[name]["payload"]["$ref"] for name in STREAM["messages"]}
    assert blocks == {name: f"#/components/schemas/{model.__name__}" for name, (model, _) in BLOCKS.items()}
    sent = [message["$ref"].rpartition("/")[2] for one in _operations("serverSent") for message in one["messages"]]
    assert sorted(sent) == sorted(STREAM["messages"])


@pytest.mark.parametrize("message", [*CLIENT_MESSAGES, *SERVER_MESSAGES], ids=lambda one: str(one.__name__))
def test_a_message_must_have_its_type_and_may_have_more(message: type[Any]) -> None:
    schema = SCHEMAS[message.__name__]
    kind = message.model_fields["type"].default
    assert schema["properties"]["type"]["const"] == kind == MESSAGES[message.__name__]["name"]
    assert "type" in schema["required"]
    assert "additionalProperties" not in schema, "clients must bear what is added later"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.type))
def test_every_event_is_described(event: type[Any]) -> None:
    general, own = MESSAGES[event.type]["payload"]["allOf"]
    assert general == {"$ref": "#/components/schemas/EventMessage"}
    inside = own["properties"]["event"]["properties"]
    assert inside["type"] == {"const": event.type}
    data = _resolve(inside["data"]["$ref"])
    assert set(data["properties"]) == set(event.model_fields)
    assert ("notifies" in [tag["name"] for tag in MESSAGES[event.type]["tags"]]) == event.notifies


def test_schemas_speak_the_dialect_of_asyncapi() -> None:
    assert not {key for key, _ in _members(SCHEMAS)} & _OF_LATER_DRAFTS


def test_examples_are_messages() -> None:
    shown = [(one["payload"], name) for name, message in MESSAGES.items() for one in message.get("examples", [])]
    assert len(shown) == len(EXAMPLES)
    of_clients = {one.__name__ for one in CLIENT_MESSAGES}
    for payload, name in shown:
        adapter: TypeAdapter[Any] = CLIENT_MESSAGE if name in of_clients else SERVER_MESSAGE
        assert type(adapter.validate_python(payload)).__name__ == name


def test_every_close_code_says_what_it_means() -> None:
    assert {int(code) for code in CHANNEL["x-close-codes"]} == {code.value for code in CloseCode}
    assert CHANNEL["x-subprotocol"] == SUBPROTOCOL


def _operations(channel: str) -> list[dict[str, Any]]:
    wanted = {"$ref": f"#/channels/{channel}"}
    return [one for one in DOCUMENT["operations"].values() if one["channel"] == wanted]


def _own(part: dict[str, Any]) -> set[str]:
    return {key for key in part if not key.startswith("x-")}


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield key, inner
        yield from _members(inner)
    for inner in value if isinstance(value, list) else ():
        yield from _members(inner)


def _resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return _resolve(found["$ref"]) if isinstance(found, dict) and "$ref" in found else found
