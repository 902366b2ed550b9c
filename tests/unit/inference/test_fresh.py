"""Answers are never older than the question, and few questions serve many."""

import asyncio

import pytest

from services.inference.fresh import Fresh


async def test_who_asks_while_a_question_is_under_way_gets_the_next_answer() -> None:
    put, answered = 0, asyncio.Event()

    async def ask() -> int:
        nonlocal put
        put += 1
        mine = put
        await answered.wait()
        return mine

    fresh = Fresh(ask)
    first = asyncio.create_task(fresh.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert put == 1
    others = [asyncio.create_task(fresh.get()) for _ in range(10)]
    await asyncio.sleep(0)
    answered.set()
    assert await first == 1
    assert set(await asyncio.gather(*others)) == {2}
    assert (await fresh.get(), put) == (3, 3)


async def test_a_failure_is_of_those_who_share_it() -> None:
    answers = iter([OSError("away"), None])

    async def ask() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "there"

    fresh = Fresh(ask)
    with pytest.raises(OSError, match="away"):
        await fresh.get()
    assert await fresh.get() == "there"


async def test_one_that_goes_takes_the_answer_from_nobody() -> None:
    answered = asyncio.Event()

    async def ask() -> str:
        await answered.wait()
        return "there"

    fresh = Fresh(ask)
    gone, stays = asyncio.create_task(fresh.get()), asyncio.create_task(fresh.get())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    answered.set()
    assert await stays == "there"
