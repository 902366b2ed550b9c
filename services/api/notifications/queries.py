"""Notifications are events of the workspace's stream; a member's mark on one is all that is stored beside it."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, exists, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from shared.contracts.events import NOTIFYING_TYPES
from shared.database.tables import EventRow, NotificationReadRow


async def find_unknown_ids(session: AsyncSession, principal: Principal, ids: Sequence[UUID]) -> list[int]:
    """Places in `ids` of those that are no notifications of this workspace."""
    found = await session.scalars(_of(principal).where(EventRow.event_id.in_(ids)))
    known = set(found)
    return [place for place, event_id in enumerate(ids) if event_id not in known]


async def mark_read(session: AsyncSession, principal: Principal, ids: Sequence[UUID] | None) -> None:
    """These, or all there are now. What is marked already keeps its time."""
    marked = exists().where(
        NotificationReadRow.member_id == principal.member_id, NotificationReadRow.event_id == EventRow.event_id
    )
    wanted = _of(principal).where(~marked)
    if ids is not None:
        wanted = wanted.where(EventRow.event_id.in_(ids))
    rows = wanted.add_columns(literal(principal.member_id), literal(principal.workspace_id))
    await session.execute(
        insert(NotificationReadRow)
        .from_select(["event_id", "member_id", "workspace_id"], rows, include_defaults=False)
        .on_conflict_do_nothing()
    )


def _of(principal: Principal) -> Select[UUID]:
    return select(EventRow.event_id).where(
        EventRow.workspace_id == principal.workspace_id,
        EventRow.stream_id == principal.workspace_id,
        EventRow.type.in_(NOTIFYING_TYPES),
    )
