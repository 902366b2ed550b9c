"""What all conversations share: how a client is let in, subscribes and leaves, whatever it speaks."""

from dataclasses import dataclass

from services.notifier import metrics
from services.notifier.catch_up import CatchUp
from services.notifier.hub import Hub
from services.notifier.stream import KeyGuard, Subscription
from services.notifier.tickets import Identity, Tickets
from shared.contracts.messages import Position


@dataclass(frozen=True, slots=True)
class Limits:
    heartbeat_seconds: float = 20
    init_seconds: float = 10
    max_subscriptions: int = 100
    max_connections: int = 10_000
    queue_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Desk:
    hub: Hub
    catch_up: CatchUp
    tickets: Tickets
    limits: Limits

    @property
    def is_full(self) -> bool:
        return len(self.hub.clients) >= self.limits.max_connections

    async def admit(self, guard: KeyGuard, identity: Identity) -> Identity:
        """From here on the client ends with its key. Raises Unauthenticated, NotFound, Unavailable."""
        # The key was looked at before its fate is followed; a revocation between the two is seen by the next look
        # at all keys.
        guard.client.identity = identity
        await self.catch_up.follow_key(guard, identity)
        return identity

    def subscribe(self, subscription: Subscription, after: Position | None) -> None:
        subscription.client.subscriptions[subscription.id] = subscription
        metrics.SUBSCRIPTIONS.inc()
        self.catch_up.start(subscription, after)

    def unsubscribe(self, subscription: Subscription) -> None:
        del subscription.client.subscriptions[subscription.id]
        self.hub.leave(subscription)
        metrics.SUBSCRIPTIONS.dec()

    def dismiss(self, guard: KeyGuard) -> None:
        """The connection is over."""
        client = guard.client
        client.ended()
        for subscription in client.subscriptions.values():
            self.hub.leave(subscription)
        metrics.SUBSCRIPTIONS.dec(len(client.subscriptions))
        client.subscriptions.clear()
        self.hub.leave(guard)
