"""Ends connections whose API key serves no more, or whose member has another role than when they connected.

An expiry and a role have no event, and an event that tells of a revocation may be late.
"""

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
        held = {client: client.identity for client in self._hub.clients if client.identity is not None}
        if not held:
            return
        roles = await self._tickets.roles({identity.api_key_id for identity in held.values()})
        for client, identity in held.items():
            role = roles.get(identity.api_key_id)
            if role is None:
                client.close(CloseCode.UNAUTHORIZED, "the API key serves no more")
            elif role != identity.role:
                client.close(CloseCode.UNAUTHORIZED, "the member has another role now; connect anew")
