"""One attempt at a receiver: whatever that does is an answer, and only the setting bounds how long it may take."""

import asyncio
from uuid import uuid4

import pytest

from services.notifier.webhook_post import Message, Poster
from shared.egress import HostRules
from tests.support.receiver import Received, receiving, said, status

_SECRET = "whsec_" + "A" * 44
_MORE_THAN_A_POOL = 110
_LONG_SECONDS = 10.5  # longer than httpx waits if nobody says otherwise


def message(url: str) -> Message:
    return Message(url, (_SECRET,), uuid4(), "{}")


async def test_many_slow_answers_at_once_are_waited_for() -> None:
    poster = Poster(HostRules(None, private=True), timeout_seconds=40)
    async with receiving() as receiver:

        async def answer_late(_: Received) -> bytes:
            await asyncio.sleep(_LONG_SECONDS)
            return status(204)

        receiver.answer = answer_late
        answers = await asyncio.gather(*(poster.post(message(receiver.url)) for _ in range(_MORE_THAN_A_POOL)))
    await poster.close()
    assert {(answer.status, answer.detail) for answer in answers} == {(204, None)}


@pytest.mark.parametrize("location", ["http://xn--zz/", "http://[::1", "http://a..b/", "//", "mailto:somebody", "\xff"])
async def test_a_redirect_to_nowhere_is_an_answer(location: str) -> None:
    poster = Poster(HostRules(None, private=True), timeout_seconds=5)
    async with receiving() as receiver:
        receiver.answer = said(status(307, f"Location: {location}"))
        answer = await poster.post(message(receiver.url))
    await poster.close()
    assert (answer.is_success, bool(answer.detail)) == (False, True)


def test_what_is_logged_of_a_message_holds_no_secret() -> None:
    shown = repr(message("https://hooks.example.org/token"))
    assert "token" not in shown
    assert _SECRET not in shown
