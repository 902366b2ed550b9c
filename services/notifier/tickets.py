"""Who a client is, by a ticket or by an API key. Tickets are rows, deleted when they are used."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import any_, delete, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.dialects.postgresql import UUID as PostgresUUID
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.availability import unavailable_when_away
from services.notifier.together import Together
from shared.database.engine import Sessions
from shared.database.keys_in_use import find_key_in_use, note_use
from shared.database.tables import KEY_SERVES, ApiKeyRow, MemberRow, WebsocketTicketRow
from shared.database.unit_of_work import transaction
from shared.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the ticket was made for, or whose key it is."""

    workspace_id: UUID
    member_id: UUID
    api_key_id: UUID
    role: str


class Tickets:
    """All methods raise Unavailable while PostgreSQL is away."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._redeeming = Together(self._redeem)

    async def redeem(self, ticket: str) -> Identity:
        """Use it up. Raises Unauthenticated when it is unknown, used or too old, or its key serves no more."""
        digest = hashlib.sha256(ticket.encode()).digest()
        identity = None if self._redeeming.is_asked(digest) else await self._redeeming.get(digest)
        if identity is None:
            raise Unauthenticated("the ticket is unknown, used or too old, or its API key serves no more")
        return identity

    async def _redeem(self, digests: Collection[bytes]) -> Mapping[bytes, Identity]:
        """By the database's clock, and with the roles that the members have now."""
        with unavailable_when_away():
            async with transaction(self._sessions) as session:
                found = await session.execute(
                    delete(WebsocketTicketRow)
                    .where(
                        WebsocketTicketRow.ticket_sha256 == any_(literal(list(digests), ARRAY(BYTEA))),
                        WebsocketTicketRow.expires_at > func.now(),
                        ApiKeyRow.id == WebsocketTicketRow.api_key_id,
                        MemberRow.id == ApiKeyRow.member_id,
                        KEY_SERVES,
                    )
                    .returning(
                        WebsocketTicketRow.ticket_sha256,
                        WebsocketTicketRow.workspace_id,
                        WebsocketTicketRow.member_id,
                        WebsocketTicketRow.api_key_id,
                        MemberRow.role,
                    )
                    .execution_options(synchronize_session=False)
                )
                return {row[0]: Identity(*row[1:]) for row in found}

    async def identify(self, api_key: str) -> Identity:
        """Raises Unauthenticated without saying what is wrong with the key."""
        with unavailable_when_away():
            async with transaction(self._sessions) as session:
                found = await find_key_in_use(session, api_key)
                if found is None:
                    raise Unauthenticated("this is not a valid API key")
                if found.is_stale:
                    await note_use(session, found.api_key_id)
        return Identity(found.workspace_id, found.member_id, found.api_key_id, found.role)

    async def roles(self, api_key_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """Of those of these keys, of any workspace, that may be used now; by the database's clock."""
        with unavailable_when_away():
            async with self._sessions() as session:
                return await read_roles(session, api_key_ids)


async def read_roles(session: AsyncSession, api_key_ids: Collection[UUID]) -> Mapping[UUID, str]:
    """Of the members of these keys, as far as they serve now."""
    found = await session.execute(
        select(ApiKeyRow.id, MemberRow.role)
        .join(MemberRow, MemberRow.id == ApiKeyRow.member_id)
        .where(ApiKeyRow.id == any_(literal(list(api_key_ids), ARRAY(PostgresUUID(as_uuid=True)))), KEY_SERVES)
    )
    return {api_key_id: role for api_key_id, role in found}
