"""What is sent after a commit: doorbells for workers and hints for notifiers. Losing one costs time, never data."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from redis.exceptions import RedisError

from shared.contracts.jobs import Doorbell
from shared.hints import Hints
from shared.queue import JobQueue
from shared.telemetry import logger

_PATIENCE_SECONDS = 0.5

log = logger(__name__)


class Signals:
    def __init__(self, queue: JobQueue, hints: Hints) -> None:
        self.queue = queue
        self.hints = hints

    async def send(self, doorbells: Mapping[Doorbell, int], streams: Sequence[UUID]) -> None:
        if not doorbells and not streams:
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                for doorbell, times in doorbells.items():
                    await self.queue.ring(doorbell, times)
                await self.hints.streams_grew(streams)
        except (RedisError, OSError, TimeoutError) as error:
            # Committed already: whoever waits for the signal looks by itself within two seconds.
            log.warning("signal_lost", error=type(error).__name__)

    async def close(self) -> None:
        await self.queue.close()
        await self.hints.close()
