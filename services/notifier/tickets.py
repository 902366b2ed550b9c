"""Who a client is: tickets are rows, deleted when they are used."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import any_, delete, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PostgresUUID

from services.notifier.availability import unavailable_when_away
from shared.database.engine import Sessions
from shared.database.tables import KEY_SERVES, ApiKeyRow, MemberRow, WebsocketTicketRow
from shared.database.unit_of_work import transaction
from shared.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the ticket was made for."""

    workspace_id: UUID
    member_id: UUID
    api_key_id: UUID
    role: str


class Tickets:
    """All methods raise Unavailable while PostgreSQL is away."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def redeem(self, ticket: str) -> Identity:
        """Use it up. Raises Unauthenticated when it is unknown, used or, by the database's clock, too old."""
        digest = hashlib.sha256(ticket.encode()).digest()
        with unavailable_when_away():
            async with transaction(self._sessions) as session:
                found = await session.execute(
                    delete(WebsocketTicketRow)
                    .where(WebsocketTicketRow.ticket_sha256 == digest, WebsocketTicketRow.expires_at > func.now())
                    .returning(
                        WebsocketTicketRow.workspace_id,
                        WebsocketTicketRow.member_id,
                        WebsocketTicketRow.api_key_id,
                        WebsocketTicketRow.role,
                    )
                )
                row = found.one_or_none()
        if row is None:
            raise Unauthenticated("the ticket is unknown, used or too old")
        return Identity(*row)

    async def check_key(self, identity: Identity) -> None:
        """Raises Unauthenticated when the key the ticket was made with serves no more."""
        if not await self.serving([identity.api_key_id]):
            raise Unauthenticated("the API key behind the ticket serves no more")

    async def serving(self, api_key_ids: Collection[UUID]) -> set[UUID]:
        """Those of these keys, of any workspace, that may be used now; by the database's clock."""
        with unavailable_when_away():
            async with self._sessions() as session:
                found = await session.scalars(
                    select(ApiKeyRow.id)
                    .join(MemberRow, MemberRow.id == ApiKeyRow.member_id)
                    .where(
                        ApiKeyRow.id == any_(literal(list(api_key_ids), ARRAY(PostgresUUID(as_uuid=True)))),
                        KEY_SERVES,
                    )
                )
                return set(found)
