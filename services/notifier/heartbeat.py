"""Pings, the cursors of filtered topics, and an end for clients that say nothing."""

import asyncio
import random

from services.notifier.client import Client
from services.notifier.hub import Hub
from services.notifier.stream import Subscription
from shared.contracts.messages import CloseCode

SILENT_HEARTBEATS = 2.5
_LOOKS_A_HEARTBEAT = 40


def first_pinged_at(seconds: float) -> float:
    """As if it had been pinged already: those who came together after a restart are not pinged together for ever."""
    return asyncio.get_running_loop().time() - random.uniform(0, seconds)


class Heartbeat:
    def __init__(self, hub: Hub, seconds: float) -> None:
        self._hub = hub
        self._seconds = seconds

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._seconds / _LOOKS_A_HEARTBEAT)
            self.beat(loop.time())

    def beat(self, now: float) -> None:
        for client in list(self._hub.clients):
            if now - client.heard_at > SILENT_HEARTBEATS * self._seconds:
                client.close(CloseCode.TIMEOUT, "silent; answer pings with pongs")
            elif now - client.pinged_at >= self._seconds:
                client.pinged_at = now
                client.send(client.ping)
                self._move_cursors(client)

    def _move_cursors(self, client: Client) -> None:
        for subscription in client.subscriptions.values():
            position = self._untold_position(subscription)
            if position is not None:
                subscription.move_to(position)

    def _untold_position(self, subscription: Subscription) -> int | None:
        stream = self._hub.stream_of(subscription)
        if stream is None or not subscription.is_live:
            return None
        position = stream.position_of(subscription)
        return position if position > subscription.told else None
