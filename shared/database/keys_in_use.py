"""From a bearer token to the key it is, if that may be used now. Nothing is cached: a revoked key ends at once."""

import hmac
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from shared.api_keys import parse_api_key
from shared.database.tables import KEY_SERVES, ApiKeyRow, MemberRow

_NOTED_EVERY = func.make_interval(0, 0, 0, 0, 0, 1)  # one minute


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """A key that may be used now. `is_stale`: its last use was noted more than a minute ago."""

    api_key_id: UUID
    workspace_id: UUID
    member_id: UUID
    role: str
    is_stale: bool


async def find_key_in_use(session: AsyncSession, token: str) -> KeyInUse | None:
    """None as well when it is revoked or expired, or its member disabled; by the database's clock."""
    secret = parse_api_key(token)
    if secret is None:
        return None
    found = await session.execute(
        select(
            ApiKeyRow.secret_sha256,
            ApiKeyRow.workspace_id,
            ApiKeyRow.member_id,
            MemberRow.role,
            or_(ApiKeyRow.last_used_at.is_(None), ApiKeyRow.last_used_at < func.now() - _NOTED_EVERY),
        )
        .join(MemberRow, MemberRow.id == ApiKeyRow.member_id)
        .where(ApiKeyRow.id == secret.api_key_id, KEY_SERVES)
    )
    row = found.one_or_none()
    if row is None or not hmac.compare_digest(row.secret_sha256, secret.sha256()):
        return None
    return KeyInUse(secret.api_key_id, *row[1:])


async def note_use(session: AsyncSession, api_key_id: UUID) -> None:
    # Skip what another request notes right now: nobody waits for a convenience.
    free = select(ApiKeyRow.id).where(ApiKeyRow.id == api_key_id).with_for_update(skip_locked=True).scalar_subquery()
    await session.execute(update(ApiKeyRow).where(ApiKeyRow.id == free).values(last_used_at=func.now()))
