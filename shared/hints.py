"""Redis publish: "there is something new" and progress. Nothing is kept there; the log in PostgreSQL is the truth."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from uuid import UUID

import redis.asyncio as redis
from redis.exceptions import RedisError

from shared.contracts.progress import Progress
from shared.telemetry import logger

_GROWN = "prelabel:streams"
_PROGRESS = "prelabel:progress"
_RETRY_SECONDS = 0.5
_PROGRESS_PAUSE_MILLISECONDS = 200
# In one step: two workers whose messages lie apart when they ask could still send them together.
_PUBLISH_UNLESS_TOO_SOON = """
if redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[1]) then
    redis.call('PUBLISH', ARGV[2], ARGV[3])
    return 1
end
return 0
"""

log = logger(__name__)

Hint = UUID | Progress
"""The id of a stream that grew, or a run's progress."""


class Hints:
    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=5)
        self._publish_progress = self._redis.register_script(_PUBLISH_UNLESS_TOO_SOON)

    async def streams_grew(self, stream_ids: Sequence[UUID]) -> None:
        if stream_ids:
            await self._redis.publish(_GROWN, " ".join(str(stream_id) for stream_id in stream_ids))

    async def progress(self, progress: Progress) -> bool:
        """At most five a second a run, however many workers serve it; what is too soon is left out, and False."""
        sent = await self._publish_progress(
            keys=[f"{_PROGRESS}:{progress.model_run_id}"],
            args=[_PROGRESS_PAUSE_MILLISECONDS, _PROGRESS, progress.model_dump_json()],
        )
        return bool(sent)

    async def listen(self) -> AsyncIterator[Hint]:
        """Hints as they come, for ever. While Redis is away it reconnects; what is lost meanwhile a poll finds."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(_GROWN, _PROGRESS)
                    while True:
                        message = await channel.get_message(timeout=1)
                        for hint in _hints_of(message):
                            yield hint
            except (RedisError, OSError) as error:
                log.warning("hints_away", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def ping(self) -> None:
        """Raises RedisError or OSError when Redis is away."""
        await self._redis.ping()

    async def close(self) -> None:
        with suppress(RedisError, OSError):  # nobody waits for its goodbye
            await self._redis.aclose()


def _hints_of(message: dict[str, bytes] | None) -> list[Hint]:
    if message is None:
        return []
    if message["channel"] == _PROGRESS.encode():
        return [Progress.model_validate_json(message["data"])]
    return [UUID(part) for part in message["data"].decode().split()]
