"""Ends connections whose API key serves no more. An expiry has no event, and an event that tells of it may be late."""

import asyncio

from services.notifier import metrics
from services.notifier.hub import Hub
from services.notifier.tickets import Tickets
from shared.contracts.messages import CloseCode
from shared.errors import Unavailable


class KeyWatch:
    def __init__(self, tickets: Tickets, hub: Hub, seconds: float) -> None:
        self._tickets = tickets
        self._hub = hub
        self._seconds = seconds

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.look()
            except Unavailable:
                metrics.KEY_LOOKS_FAILED.inc()  # the clients stay; the next look tells

    async def look(self) -> None:
        """All keys in use with one query. Raises Unavailable."""
        keys = {client.api_key_id for client in self._hub.clients if client.api_key_id is not None}
        if not keys:
            return
        ended = keys - await self._tickets.serving(keys)
        for client in list(self._hub.clients) if ended else ():
            if client.api_key_id in ended:
                client.close(CloseCode.UNAUTHORIZED, "the API key serves no more")
