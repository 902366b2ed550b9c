"""Webhooks: follows the log for all of them and delivers. Any number of notifiers do so side by side."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from services.notifier import metrics
from services.notifier.availability import unavailable_when_away
from services.notifier.settings import NotifierSettings
from services.notifier.webhook_deliveries import Claim, Patience, WebhookDeliveries
from services.notifier.webhook_feed import WebhookFeed
from services.notifier.webhook_post import Answer, Poster
from shared.database.engine import Sessions
from shared.egress import webhook_hosts
from shared.ending import end_tasks
from shared.errors import Unavailable
from shared.signals import Signals
from shared.telemetry import logger

_SPARE_SECONDS = 5.0  # between the end of an attempt and that of its lease
_GRACE_SECONDS = 5.0
_PURGE_SECONDS = 60.0
_SETTLERS = 2

log = logger(__name__)


class Webhooks:
    """Nothing here waits for a receiver but the task of one attempt; `lanes` bounds what one receiver can hold."""

    def __init__(self, sessions: Sessions, signals: Signals, settings: NotifierSettings) -> None:
        self._settings = settings
        self._feed = WebhookFeed(sessions, settings.webhook_pending_max)
        self._deliveries = WebhookDeliveries(sessions, signals, _patience(settings))
        self._poster = Poster(webhook_hosts(settings), settings.webhook_timeout_seconds)
        self._in_flight: Counter[UUID] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        # So that the tail and new clients always find a connection.
        self._turns = asyncio.Semaphore(_SETTLERS)

    async def follow(self) -> None:
        """For ever: events become deliveries."""
        while True:
            grew = await self._unless_away(self._feed.follow)
            if grew:
                self._woken.set()
            await asyncio.sleep(self._settings.webhook_poll_seconds)

    async def deliver(self) -> None:
        """For ever: deliveries whose time has come are attempted."""
        while True:
            self._woken.clear()
            await self._unless_away(self._begin_attempts)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.webhook_poll_seconds):
                    await self._woken.wait()

    async def purge(self) -> None:
        """For ever: what ended long ago is removed."""
        while True:
            await self._unless_away(self._purge)
            await asyncio.sleep(_PURGE_SECONDS)

    async def stop(self) -> None:
        """What is under way may end; the rest is attempted again when its lease is over."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GRACE_SECONDS)
        await end_tasks(self._tasks)
        await self._poster.close()

    async def _purge(self) -> bool:
        await self._deliveries.purge()
        return True

    async def _begin_attempts(self) -> bool:
        places = self._settings.webhook_max_in_flight - len(self._tasks)
        if places <= 0:
            return False
        claims = await self._deliveries.claim(self._in_flight, self._settings.webhook_lanes, places)
        for claim in claims:
            self._in_flight[claim.webhook_id] += 1
            task = asyncio.create_task(self._attempt(claim))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        metrics.WEBHOOKS_IN_FLIGHT.set(len(self._tasks))
        return bool(claims)

    async def _attempt(self, claim: Claim) -> None:
        try:
            answer = await self._poster.post(claim.message)
            metrics.WEBHOOK_SECONDS.observe(answer.seconds)
            await self._settle(claim, answer)
        except Exception:  # a bug must cost one attempt, not the lane, and must not repeat for ever
            log.exception("webhook_attempt_failed", delivery_id=str(claim.delivery_id))
            await self._settle(claim, Answer(None, "internal error", 0))
        finally:
            self._in_flight[claim.webhook_id] -= 1
            if not self._in_flight[claim.webhook_id]:
                del self._in_flight[claim.webhook_id]
            metrics.WEBHOOKS_IN_FLIGHT.set(len(self._tasks) - 1)
            self._woken.set()

    async def _settle(self, claim: Claim, answer: Answer) -> None:
        try:
            async with self._turns:
                with unavailable_when_away():
                    await self._deliveries.settle(claim, answer)
        except Unavailable as error:
            # The lease runs out and the event is sent once more, with the same id.
            metrics.WEBHOOK_FAILURES.inc()
            log.warning("webhook_attempt_not_stored", detail=error.detail)

    async def _unless_away(self, work: Callable[[], Awaitable[bool]]) -> bool:
        try:
            with unavailable_when_away():
                return await work()
        except Unavailable as error:
            metrics.WEBHOOK_FAILURES.inc()
            log.warning("webhooks_wait", detail=error.detail)
            return False


def _patience(settings: NotifierSettings) -> Patience:
    return Patience(
        retry_seconds=settings.webhook_retry_seconds,
        off_after_seconds=settings.webhook_off_after_seconds,
        lease_seconds=settings.webhook_timeout_seconds + _SPARE_SECONDS,
        kept_seconds=settings.webhook_kept_days * 24 * 3600,
    )
