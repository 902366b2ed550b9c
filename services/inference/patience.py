"""Waiting for a part that is away, for so long and no longer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.inference.failures import PartAway
from services.inference.metrics import RETRIES
from services.inference.triton import ModelBroken

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0

Result = TypeVar("Result")


async def patiently(seconds: float, call: Callable[[], Awaitable[Result]]) -> Result:
    """Call again while a part is away. Raises PartAway when the patience is over."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except ModelBroken:  # waiting does not mend it
            raise
        except PartAway:
            if time.monotonic() + pause > deadline:
                raise
        RETRIES.inc()
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
