"""One question for all who wait, never an answer older than the question, and a failure for those who asked only."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from services.notifier.together import Together
from shared.errors import Unavailable


async def test_who_comes_meanwhile_waits_for_the_next_question() -> None:
    asked: list[Sequence[int]] = []
    may_answer = asyncio.Event()

    async def ask(keys: Sequence[int]) -> dict[int, str]:
        asked.append(keys)
        await may_answer.wait()
        return {key: f"{key} of {len(asked)}" for key in keys if key != 3}

    together = Together(ask)
    first = asyncio.create_task(together.get(1))
    await asyncio.sleep(0)
    later = [asyncio.create_task(together.get(key)) for key in (1, 2, 3, 2)]
    await asyncio.sleep(0)
    assert together.is_asked(2)
    later[0].cancel()
    may_answer.set()
    assert await first == "1 of 1"
    assert await asyncio.gather(*later[1:]) == ["2 of 2", None, "2 of 2"]
    assert asked == [[1], [1, 2, 3]]
    assert not together.is_asked(2)


async def test_a_failure_is_for_those_who_asked() -> None:
    answers: Iterator[Unavailable | dict[int, str]] = iter([Unavailable("away"), {1: "here"}])

    async def ask(keys: Sequence[int]) -> dict[int, str]:
        del keys
        answer = next(answers)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    together = Together(ask)
    with pytest.raises(Unavailable):
        await together.get(1)
    assert await together.get(1) == "here"
