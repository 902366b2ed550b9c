"""Ending what runs beside. A cancellation can be lost: when a connection is given back at that moment, a driver may
raise an error of its own in its place, and a loop that goes on after such errors goes on.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, TypeAlias

from shared.telemetry import logger

_CANCELS, _CANCEL_SECONDS = 2, 4.0  # longer than a part takes to give back what it holds

Tasks: TypeAlias = set[asyncio.Task[Any]]

log = logger(__name__)


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> Tasks:
    """Cancel them until they have ended, whatever they raise; which ones have not, all the same."""
    asked = set(tasks)
    left = asked
    for _ in range(_CANCELS):
        if not left:
            break
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_SECONDS)
        if left:
            log.warning("does_not_end", tasks=[str(task.get_stack(limit=1) or task) for task in left])
    await asyncio.gather(*(asked - left), return_exceptions=True)
    return left
