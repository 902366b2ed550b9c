"""Waiting for a part that is away, for so long and no longer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.inference.failures import ModelBroken, PartAway, RowFailed, StoreAway
from services.inference.inputs.content import Content, ContentReader, Stored
from services.inference.metrics import RETRIES

_TRIES_OF_AN_OBJECT = 5
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


async def read_patiently(seconds: float, reader: ContentReader, row: Stored) -> Content:
    """Read again while the object store is away; an object it cannot give while it answers costs its own row.

    Raises StoreAway when the patience is over, or RowFailed.
    """
    tries = 0

    async def read() -> Content:
        nonlocal tries
        try:
            return await reader.read(row)
        except StoreAway as away:
            tries = tries + 1 if await reader.store_answers() else 0
            if tries == _TRIES_OF_AN_OBJECT:
                detail = "the object store answers, but cannot give this object"
                raise RowFailed("fetch", "content_unreadable", detail, attempts=tries) from away
            raise

    return await patiently(seconds, read)
