"""One round: a workspace of its own, all that its clients were told, and what the checker says of it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import SecretStr

from services.api.access.principal import Role
from services.api.access.schemas import ApiKeyCreate, MemberCreate
from services.api.access.service import add_api_key, add_member, create_workspace
from shared.database.engine import create_engine, create_sessions
from shared.database.unit_of_work import unit_of_work
from shared.hints import Hints
from shared.queue import JobQueue
from shared.settings import SharedSettings
from shared.signals import Signals
from tests.faults.harness.checker import Violation, check
from tests.faults.harness.client import InsistentGateway
from tests.faults.harness.database import read_database
from tests.faults.harness.faults import Faults
from tests.faults.harness.history import History
from tests.faults.harness.stage import Stage, make_stage
from tests.faults.harness.subscriber import Subscriber

if TYPE_CHECKING:
    from tests.faults.harness.world import World


@dataclass(frozen=True)
class Round:
    world: "World"
    workspace_id: UUID
    gateway: InsistentGateway
    history: History
    faults: Faults
    subscribers: list[Subscriber] = field(default_factory=list)

    async def stage(self, texts: Iterable[str], slug: str) -> Stage:
        """A project with these texts, for runs of the model of that name."""
        return await make_stage(self.gateway, texts, slug)

    async def subscribe(self, name: str, topic: str, *, pause_seconds: float | None = None) -> Subscriber:
        """Comes back from its offset for as long as the round lasts, each time after a random pause."""
        found = Subscriber(name, topic, self.gateway, self.world.notifier_url, self.history)
        found.pause_seconds = pause_seconds or found.pause_seconds
        self.subscribers.append(found)
        await found.until_opened()
        return found

    async def violations(self) -> list[Violation]:
        """Once nothing goes on any more: waits until every subscriber of a project has heard all that is in its log."""
        database = await read_database(self.world.addresses.database_url, self.workspace_id)
        for subscriber in self.subscribers:
            await subscriber.until_at(max(database.wanted(subscriber.topic), default=0))
        return check(self.history, database)


@asynccontextmanager
async def opened_round(world: "World", name: str) -> AsyncIterator[Round]:
    history = History(world.folder / f"{name}.jsonl")
    workspace_id, key = await _workspace(world, name)
    gateway = InsistentGateway(world.api_url, key, history)
    found = Round(world, workspace_id, gateway, history, Faults(world, history))
    try:
        yield found
    finally:
        for subscriber in found.subscribers:
            await subscriber.close()
        await gateway.close()
        history.close()


async def _workspace(world: "World", name: str) -> tuple[UUID, str]:
    """With an admin's key, as `services.api.bootstrap` makes the first one."""
    redis_url = world.addresses.redis_url
    settings = SharedSettings(database_url=SecretStr(world.addresses.database_url), redis_url=SecretStr(redis_url))
    engine, signals = create_engine(settings, "faults"), Signals(JobQueue(redis_url), Hints(redis_url))
    try:
        async with unit_of_work(create_sessions(engine), signals, "service:faults") as work:
            workspace = await create_workspace(work, name)
            admin = await add_member(work.session, workspace.id, MemberCreate(name="admin", role=Role.ADMIN))
            _, secret = await add_api_key(work, admin, ApiKeyCreate(name="key"))
        return workspace.id, str(secret)
    finally:
        await signals.close()
        await engine.dispose()
