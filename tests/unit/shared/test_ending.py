"""What is cancelled at the end of a process ends, though it did not hear it the first time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from shared import ending


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_CANCEL_SECONDS", 0.02)


async def _deaf(times: int) -> None:
    """As a loop whose library makes an error of its own of a cancellation."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def _begun(*works: Coroutine[Any, Any, None]) -> set[asyncio.Task[None]]:
    tasks = {asyncio.create_task(work) for work in works}
    await asyncio.sleep(0)
    return tasks


async def test_a_swallowed_cancellation_is_repeated() -> None:
    tasks = await _begun(_deaf(0), _deaf(1))
    await ending.end_tasks(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_what_never_ends_is_told_and_left() -> None:
    (task,) = await _begun(_deaf(100))
    left = await ending.end_tasks({task})
    assert left == {task}
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


async def test_what_failed_at_its_end_stops_nobody() -> None:
    async def fails() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise OSError("away")

    tasks = await _begun(fails(), _deaf(1))
    assert await ending.end_tasks(tasks) == set()
