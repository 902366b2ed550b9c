"""docs/websocket.md and the clients it shows."""

import pytest

from services.notifier.asyncapi import BLOCKS, CLIENT_MESSAGES, SERVER_MESSAGES
from services.notifier.topics import TOPICS
from shared.contracts.messages import CLOSE_CODES
from tests.support.websocket_page import CLIENTS, PAGE, page

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_shows_the_clients_as_they_are() -> None:
    assert page() == TEXT, "run `python -m tests.support.websocket_page`"


def test_every_message_topic_and_close_code_is_on_it() -> None:
    for message in (*CLIENT_MESSAGES, *SERVER_MESSAGES):
        kind = message.model_fields["type"].default
        assert f'"type":"{kind}"' in TEXT or f"`{kind}`" in TEXT, kind
    assert all(f"`{topic}:<id>`" in TEXT for topic in TOPICS)
    assert all(f"| {code.value} |" in TEXT for code in CLOSE_CODES)


def test_every_block_of_a_stream_is_on_it() -> None:
    assert all(f"| `{name}` |" in TEXT or f"| (none, `{name}` in a browser) |" in TEXT for name in BLOCKS)


@pytest.mark.parametrize("language", CLIENTS)
def test_a_client_can_be_read_at_once(language: str) -> None:
    code = CLIENTS[language].read_text(encoding="utf-8")
    assert len(code[code.index("async ") :].splitlines()) <= 32
    assert len(code.splitlines()) <= 60
