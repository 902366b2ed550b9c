"""What a member should know about."""

from fastapi import APIRouter

from services.api.dependencies import Paged, Reader, Viewer, Work
from services.api.idempotency import IdempotentRoute
from services.api.notifications import service
from services.api.notifications.schemas import NotificationsRead, Unread
from services.api.problems import problems
from shared.contracts.resources import Notifications

router = APIRouter(prefix="/v1", tags=["notifications"], route_class=IdempotentRoute)


@router.get("/notifications", responses=problems(400))
async def list_notifications(principal: Viewer, session: Reader, paging: Paged) -> Notifications:
    """Runs that ended or stalled, newest first. `read_at` is null while you have not marked one as read."""
    return await service.list_notification_page(session, principal, paging)


@router.post("/notifications/read", responses=problems(400))
async def mark_notifications_read(principal: Viewer, work: Work, wanted: NotificationsRead) -> Unread:
    """Mark some as read, or all there are now. Only for yourself; a repeat changes nothing."""
    return Unread(unread=await service.mark_notifications_read(work, principal, wanted))
