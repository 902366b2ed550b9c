"""Members, API keys, tickets: what is read and written."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import ApiKeyRow, MemberRow, WebsocketTicketRow

_PURGED_AT_ONCE = 100


async def find_member(session: AsyncSession, workspace_id: UUID, member_id: UUID) -> MemberRow | None:
    return await session.scalar(
        select(MemberRow).where(MemberRow.workspace_id == workspace_id, MemberRow.id == member_id)
    )


async def lock_admins(session: AsyncSession, workspace_id: UUID) -> list[UUID]:
    """Members who are admins and may act. Locked, so that two requests cannot each remove the last but one."""
    found = await session.scalars(
        select(MemberRow.id)
        .where(MemberRow.workspace_id == workspace_id, MemberRow.role == "admin", MemberRow.disabled_at.is_(None))
        .order_by(MemberRow.id)
        .with_for_update()
    )
    return list(found)


async def list_members(session: AsyncSession, workspace_id: UUID, after: UUID | None, limit: int) -> list[MemberRow]:
    wanted = select(MemberRow).where(MemberRow.workspace_id == workspace_id)
    if after is not None:
        wanted = wanted.where(MemberRow.id > after)
    return list(await session.scalars(wanted.order_by(MemberRow.id).limit(limit)))


async def find_api_key(session: AsyncSession, workspace_id: UUID, api_key_id: UUID) -> ApiKeyRow | None:
    return await session.scalar(
        select(ApiKeyRow).where(ApiKeyRow.workspace_id == workspace_id, ApiKeyRow.id == api_key_id).with_for_update()
    )


async def list_api_keys(session: AsyncSession, workspace_id: UUID, after: UUID | None, limit: int) -> list[ApiKeyRow]:
    wanted = select(ApiKeyRow).where(ApiKeyRow.workspace_id == workspace_id)
    if after is not None:
        wanted = wanted.where(ApiKeyRow.id > after)
    return list(await session.scalars(wanted.order_by(ApiKeyRow.id).limit(limit)))


async def purge_tickets(session: AsyncSession) -> None:
    """Drop some that nobody used in time, so that the table stays bounded without a job of its own."""
    old = (
        select(WebsocketTicketRow.ticket_sha256)
        .where(WebsocketTicketRow.expires_at < func.now())
        .limit(_PURGED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(WebsocketTicketRow).where(WebsocketTicketRow.ticket_sha256.in_(old)))


async def list_serving_keys(session: AsyncSession, member_id: UUID) -> list[UUID]:
    wanted = select(ApiKeyRow.id).where(ApiKeyRow.member_id == member_id, ApiKeyRow.revoked_at.is_(None))
    return list(await session.scalars(wanted.order_by(ApiKeyRow.id)))


async def delete_tickets_of_member(session: AsyncSession, member_id: UUID) -> None:
    await session.execute(delete(WebsocketTicketRow).where(WebsocketTicketRow.member_id == member_id))


async def delete_tickets_of_key(session: AsyncSession, api_key_id: UUID) -> None:
    await session.execute(delete(WebsocketTicketRow).where(WebsocketTicketRow.api_key_id == api_key_id))


async def database_now(session: AsyncSession) -> datetime:
    found: datetime = (await session.execute(select(func.now()))).scalar_one()
    return found
