"""What can be subscribed to. To add a topic: write its class, name it in `TOPICS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.tickets import Identity
from shared.contracts.events import NOTIFYING_TYPES
from shared.database.event_log import LoggedEvent
from shared.database.tables import ModelRunRow, ProjectRow
from shared.errors import NotFound
from shared.page_tokens import Pager
from shared.snapshots import model_run_snapshot, notifications_snapshot, preview_snapshot, project_snapshot

Found = TypeVar("Found")
Selector: TypeAlias = UUID | Literal["all", "notifying"]
"""Which events of a stream are wanted: those of one subject, all, or those of the notifications list."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a client may follow, once it is known to exist and to be allowed."""

    stream_id: UUID
    selector: Selector

    @property
    def is_filtered(self) -> bool:
        return self.selector != "all"


class WantedTopic(Protocol):
    """Every role may follow what lies in its own workspace; the rest does not exist."""

    async def find(self, session: AsyncSession, identity: Identity) -> Topic:
        """Raises NotFound."""
        ...

    async def snapshot(self, session: AsyncSession, identity: Identity, pager: Pager) -> BaseModel:
        """Equal to the resource's GET body. Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class ProjectTopic:
    project_id: UUID

    async def find(self, session: AsyncSession, identity: Identity) -> Topic:
        found = await session.scalar(
            select(ProjectRow.id).where(
                ProjectRow.id == self.project_id,
                ProjectRow.workspace_id == identity.workspace_id,
                ProjectRow.deleted_at.is_(None),
            )
        )
        return Topic(_known(found), "all")

    async def snapshot(self, session: AsyncSession, identity: Identity, pager: Pager) -> BaseModel:
        del pager
        return _known(await project_snapshot(session, identity.workspace_id, self.project_id))


@dataclass(frozen=True, slots=True)
class ModelRunTopic:
    model_run_id: UUID

    async def find(self, session: AsyncSession, identity: Identity) -> Topic:
        found = await session.scalar(_project_of(self.model_run_id, identity).where(ModelRunRow.purpose != "preview"))
        return Topic(_known(found), self.model_run_id)

    async def snapshot(self, session: AsyncSession, identity: Identity, pager: Pager) -> BaseModel:
        del pager
        return _known(await model_run_snapshot(session, identity.workspace_id, self.model_run_id))


@dataclass(frozen=True, slots=True)
class PreviewTopic:
    preview_id: UUID

    async def find(self, session: AsyncSession, identity: Identity) -> Topic:
        found = await session.scalar(_project_of(self.preview_id, identity).where(ModelRunRow.purpose == "preview"))
        return Topic(_known(found), self.preview_id)

    async def snapshot(self, session: AsyncSession, identity: Identity, pager: Pager) -> BaseModel:
        del pager
        return _known(await preview_snapshot(session, identity.workspace_id, self.preview_id))


@dataclass(frozen=True, slots=True)
class NotificationsTopic:
    async def find(self, session: AsyncSession, identity: Identity) -> Topic:
        del session
        return Topic(identity.workspace_id, "notifying")

    async def snapshot(self, session: AsyncSession, identity: Identity, pager: Pager) -> BaseModel:
        return await notifications_snapshot(session, identity.workspace_id, identity.member_id, pager)


TOPICS: Mapping[str, Callable[[UUID], WantedTopic]] = {
    "project": ProjectTopic,
    "model_run": ModelRunTopic,
    "preview": PreviewTopic,
}
"""Topics of one resource, written as `<name>:<id>`."""


def parse_topic(text: str) -> WantedTopic:
    """Raises NotFound for a topic that nobody could mean."""
    if text == "notifications":
        return NotificationsTopic()
    name, _, resource_id = text.partition(":")
    topic = TOPICS.get(name)
    try:
        if topic is not None:
            return topic(UUID(resource_id))
    except ValueError:
        pass
    raise NotFound(f"there is no topic {text!r}")


def selectors_of(event: LoggedEvent) -> tuple[Selector, ...]:
    """Who wants this event."""
    if event.type in NOTIFYING_TYPES:
        return ("all", event.subject_id, "notifying")
    return ("all", event.subject_id)


def _project_of(run_id: UUID, identity: Identity) -> Select[UUID]:
    return (
        select(ModelRunRow.project_id)
        .join(ProjectRow, ProjectRow.id == ModelRunRow.project_id)
        .where(
            ModelRunRow.id == run_id,
            ModelRunRow.workspace_id == identity.workspace_id,
            ProjectRow.deleted_at.is_(None),
        )
    )


def _known(found: Found | None) -> Found:
    if found is None:
        raise NotFound()
    return found
