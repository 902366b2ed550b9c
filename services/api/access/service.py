"""Who may act in a workspace. Every change of access leaves an audit row."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access import queries
from services.api.access.audit import audit
from services.api.access.principal import Principal, Role
from services.api.access.schemas import ApiKeyCreate, MemberCreate, MemberUpdate
from shared.api_keys import ApiKeySecret, new_api_key_secret, new_ticket, sha256_of
from shared.contracts.events import ApiKeyCreated, ApiKeyRevoked, ApiKeySuspended
from shared.database.event_log import create_stream
from shared.database.tables import ApiKeyRow, MemberRow, WebsocketTicketRow, WorkspaceRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, FieldError, NotFound, Unprocessable
from shared.ids import new_id

TICKET_LIFETIME = timedelta(seconds=30)


async def create_workspace(work: UnitOfWork, name: str) -> WorkspaceRow:
    row = WorkspaceRow(id=new_id(), name=name)
    work.session.add(row)
    await work.session.flush()
    create_stream(work.session, row.id, row.id, "workspace")
    return row


async def create_member(work: UnitOfWork, principal: Principal, wanted: MemberCreate) -> MemberRow:
    row = await add_member(work.session, principal.workspace_id, wanted)
    audit(work, principal, "member.created", row.id, role=wanted.role)
    return row


async def add_member(session: AsyncSession, workspace_id: UUID, wanted: MemberCreate) -> MemberRow:
    row = MemberRow(id=new_id(), workspace_id=workspace_id, name=wanted.name, role=wanted.role.value)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


async def update_member(work: UnitOfWork, principal: Principal, member_id: UUID, changes: MemberUpdate) -> MemberRow:
    """Raises Conflict rather than leave the workspace without anybody who can let others in."""
    admins = await queries.lock_admins(work.session, principal.workspace_id)
    row = await queries.find_member(work.session, principal.workspace_id, member_id)
    if row is None:
        raise NotFound()
    given = changes.model_fields_set
    if "name" in given:
        row.name = changes.name
    if "role" in given:
        row.role = changes.role.value
    if "disabled" in given:
        row.disabled_at = (row.disabled_at or datetime.now(UTC)) if changes.disabled else None
    if admins == [row.id] and (row.role != Role.ADMIN or row.disabled_at is not None):
        raise Conflict("this is the last admin; make another one first", code="last_admin")
    if row.disabled_at is not None:
        await _shut_out(work, row)
    audit(work, principal, "member.updated", row.id, **changes.model_dump(mode="json", exclude_unset=True))
    return row


async def _shut_out(work: UnitOfWork, member: MemberRow) -> None:
    await queries.delete_tickets_of_member(work.session, member.id)
    for key_id in await queries.list_serving_keys(work.session, member.id):
        work.emit(ApiKeySuspended(workspace_id=member.workspace_id, api_key_id=key_id))


async def create_api_key(
    work: UnitOfWork, principal: Principal, wanted: ApiKeyCreate
) -> tuple[ApiKeyRow, ApiKeySecret]:
    member_id = wanted.member_id or principal.member_id
    member = await queries.find_member(work.session, principal.workspace_id, member_id)
    if member is None:
        raise _wrong("/member_id", "unknown_member", "there is no such member")
    if wanted.expires_at is not None and wanted.expires_at <= datetime.now(UTC):
        raise _wrong("/expires_at", "in_the_past", "the key would never be valid")
    row, secret = await add_api_key(work, member, wanted)
    audit(work, principal, "api_key.created", row.id, member_id=str(member.id))
    return row, secret


async def add_api_key(work: UnitOfWork, member: MemberRow, wanted: ApiKeyCreate) -> tuple[ApiKeyRow, ApiKeySecret]:
    secret = new_api_key_secret(new_id())
    row = ApiKeyRow(
        id=secret.api_key_id,
        workspace_id=member.workspace_id,
        member_id=member.id,
        name=wanted.name,
        secret_sha256=secret.sha256(),
        expires_at=wanted.expires_at,
    )
    work.session.add(row)
    await work.session.flush()
    await work.session.refresh(row)
    work.emit(ApiKeyCreated(workspace_id=member.workspace_id, api_key_id=row.id))
    return row, secret


async def revoke_api_key(work: UnitOfWork, principal: Principal, api_key_id: UUID) -> None:
    """Ends at once: the next request with it is refused, and so are tickets it got. A repeat changes nothing."""
    row = await queries.find_api_key(work.session, principal.workspace_id, api_key_id)
    if row is None:
        raise NotFound()
    if row.revoked_at is not None:
        return
    row.revoked_at = datetime.now(UTC)
    await queries.delete_tickets_of_key(work.session, row.id)
    work.emit(ApiKeyRevoked(workspace_id=principal.workspace_id, api_key_id=row.id))
    audit(work, principal, "api_key.revoked", row.id)


async def create_websocket_ticket(work: UnitOfWork, principal: Principal) -> tuple[str, datetime]:
    ticket = new_ticket()
    expires_at = await queries.database_now(work.session) + TICKET_LIFETIME
    work.session.add(
        WebsocketTicketRow(
            ticket_sha256=sha256_of(ticket),
            workspace_id=principal.workspace_id,
            member_id=principal.member_id,
            api_key_id=principal.api_key_id,
            role=principal.role.value,
            expires_at=expires_at,
        )
    )
    await queries.purge_tickets(work.session)
    return ticket, expires_at


def _wrong(pointer: str, code: str, detail: str) -> Unprocessable:
    return Unprocessable(detail, errors=[FieldError(pointer, code, detail)])
