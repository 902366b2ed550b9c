"""What a member should know about, and what they have seen of it."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.notifications import queries
from services.api.notifications.schemas import NotificationsRead
from services.api.paging import Paging
from shared.contracts.resources import Notification, Notifications
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Problems
from shared.page_tokens import Key
from shared.snapshots import count_unread, list_notifications


async def list_notification_page(session: AsyncSession, principal: Principal, paging: Paging) -> Notifications:
    before = int(str(paging.after[0])) if paging.after else None
    found = await list_notifications(
        session, principal.workspace_id, principal.member_id, before=before, limit=paging.fetch
    )
    page = paging.page(found, _by_offset)
    unread = await count_unread(session, principal.workspace_id, principal.member_id)
    return Notifications(items=page.items, next_page_token=page.next_page_token, unread=unread)


async def mark_notifications_read(work: UnitOfWork, principal: Principal, wanted: NotificationsRead) -> int:
    """How many stay unread."""
    if wanted.ids is not None:
        problems = Problems()
        for place in await queries.find_unknown_ids(work.session, principal, wanted.ids):
            problems.add(f"/ids/{place}", "unknown_notification", "there is no such notification")
        problems.raise_if_any("some of these are no notifications")
    await queries.mark_read(work.session, principal, wanted.ids)
    return await count_unread(work.session, principal.workspace_id, principal.member_id)


def _by_offset(notification: Notification) -> Key:
    return (notification.offset,)
