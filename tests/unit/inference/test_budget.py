import asyncio

import pytest

from services.inference.budget import ByteBudget
from services.inference.solitude import Solitude

pytestmark = pytest.mark.asyncio


async def test_no_more_is_held_than_the_budget_and_nobody_is_passed_over() -> None:
    budget, held, most, order = ByteBudget(10), 0, 0, list[int]()

    async def hold(place: int, size: int) -> None:
        nonlocal held, most
        async with budget.hold(size):
            order.append(place)
            held += min(size, 10)
            most = max(most, held)
            await asyncio.sleep(0)
            held -= min(size, 10)

    await asyncio.gather(*(hold(place, size) for place, size in enumerate([4, 4, 9, 1, 1, 25, 2])))
    assert (most, held) == (10, 0)
    assert order == sorted(order)


async def test_whoever_gives_up_waiting_takes_nothing_with_him() -> None:
    budget = ByteBudget(10)

    async def hold(size: int) -> None:
        async with budget.hold(size):
            await asyncio.sleep(60)

    first, second, third = (asyncio.create_task(hold(size)) for size in (8, 8, 2))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    await asyncio.wait({first, second})
    async with asyncio.timeout(1), budget.hold(8):
        assert not third.done()
    third.cancel()


async def test_all_may_give_up_at_once() -> None:
    budget = ByteBudget(10)

    async def hold(size: int) -> None:
        async with budget.hold(size):
            await asyncio.sleep(60)

    tasks = [asyncio.create_task(hold(8)) for _ in range(5)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in ended} == {asyncio.CancelledError}
    async with asyncio.timeout(1), budget.hold(10):
        pass


async def test_alone_is_alone() -> None:
    solitude, under_way, seen = Solitude(), 0, list[tuple[str, int]]()

    async def together() -> None:
        nonlocal under_way
        async with solitude.together():
            under_way += 1
            await asyncio.sleep(0.001)
            seen.append(("together", under_way))
            under_way -= 1

    async def alone() -> None:
        nonlocal under_way
        async with solitude.alone():
            under_way += 1
            await asyncio.sleep(0.001)
            seen.append(("alone", under_way))
            under_way -= 1

    await asyncio.gather(*(one() for _ in range(4) for one in (together, together, alone)))
    assert {count for kind, count in seen if kind == "alone"} == {1}
    assert max(count for kind, count in seen if kind == "together") > 1
    assert len(seen) == 12


async def test_a_wait_to_be_alone_that_is_given_up_blocks_nobody() -> None:
    solitude = Solitude()
    async with solitude.together():
        waiting = asyncio.create_task(solitude.alone().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        async with asyncio.timeout(1), solitude.together():
            pass
