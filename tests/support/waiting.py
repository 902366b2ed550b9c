"""Waiting for what has no event of its own."""

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Raises TimeoutError when it does not hold in time."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)
