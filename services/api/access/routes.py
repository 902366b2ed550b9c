"""Members, API keys and websocket tickets."""

from uuid import UUID

from fastapi import APIRouter

from services.api.access import queries, service
from services.api.access.schemas import (
    ApiKey,
    ApiKeyCreate,
    ApiKeyCreated,
    Member,
    MemberCreate,
    MemberUpdate,
    WebsocketTicket,
)
from services.api.checked_requests import CheckedRoute
from services.api.dependencies import Admin, Paged, Reader, Settings, Viewer, Work
from services.api.idempotency import IdempotentRoute, shown_once
from services.api.paging import by_id
from services.api.problems import problems
from shared.contracts.http import Page
from shared.errors import NotFound

router = APIRouter(prefix="/v1", tags=["access"], route_class=IdempotentRoute)
tickets = APIRouter(prefix="/v1", tags=["access"], route_class=CheckedRoute)


@router.post("/members", status_code=201, responses=problems())
async def create_member(principal: Admin, work: Work, wanted: MemberCreate) -> Member:
    """Let somebody in. They act with an API key of their own."""
    return Member.from_row(await service.create_member(work, principal, wanted))


@router.get("/members", responses=problems(400))
async def list_members(principal: Admin, session: Reader, paging: Paged) -> Page[Member]:
    """Everybody who may act in this workspace, or could once."""
    rows = await queries.list_members(session, principal.workspace_id, paging.after_id, paging.fetch)
    return paging.page([Member.from_row(row) for row in rows], by_id)


@router.get("/members/{member_id}", responses=problems(404))
async def get_member(principal: Admin, session: Reader, member_id: UUID) -> Member:
    """One member."""
    row = await queries.find_member(session, principal.workspace_id, member_id)
    if row is None:
        raise NotFound()
    return Member.from_row(row)


@router.patch("/members/{member_id}", responses=problems(404, 409))
async def update_member(principal: Admin, work: Work, member_id: UUID, changes: MemberUpdate) -> Member:
    """Change a member's name or role, or disable them; their keys end at once. The last admin stays one."""
    return Member.from_row(await service.update_member(work, principal, member_id, changes))


@router.post("/api-keys", status_code=201, responses=problems(), dependencies=[shown_once("secret")])
async def create_api_key(principal: Admin, work: Work, wanted: ApiKeyCreate) -> ApiKeyCreated:
    """Make a key for a member. The answer holds the key itself, this once."""
    return ApiKeyCreated.of(*await service.create_api_key(work, principal, wanted))


@router.get("/api-keys", responses=problems(400))
async def list_api_keys(principal: Admin, session: Reader, paging: Paged) -> Page[ApiKey]:
    """All keys of the workspace, revoked ones included."""
    rows = await queries.list_api_keys(session, principal.workspace_id, paging.after_id, paging.fetch)
    return paging.page([ApiKey.from_row(row) for row in rows], by_id)


@router.delete("/api-keys/{api_key_id}", status_code=204, responses=problems(404))
async def revoke_api_key(principal: Admin, work: Work, api_key_id: UUID) -> None:
    """Revoke a key for good. It stays in the list."""
    await service.revoke_api_key(work, principal, api_key_id)


@tickets.post("/websocket-tickets", status_code=201, responses=problems())
async def create_websocket_ticket(principal: Viewer, work: Work, settings: Settings) -> WebsocketTicket:
    """A ticket for the `init` message of a websocket: serves once, for 30 seconds. Browsers cannot send keys there."""
    ticket, expires_at = await service.create_websocket_ticket(work, principal)
    return WebsocketTicket(ticket=ticket, expires_at=expires_at, url=settings.public_notifier_url)
