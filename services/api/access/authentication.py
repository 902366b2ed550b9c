"""From a bearer token to a principal. Nothing is cached: a revoked key or a disabled member ends at once."""

import hmac

from services.api.access import queries
from services.api.access.principal import Principal, Role
from services.api.access.secrets import parse_api_key
from shared.database.engine import Sessions
from shared.database.unit_of_work import unit_of_work
from shared.errors import Unauthenticated
from shared.signals import Signals


async def authenticate(sessions: Sessions, signals: Signals, token: str | None) -> Principal:
    """Raises Unauthenticated without saying which part of the token was wrong."""
    if token is None:
        raise Unauthenticated("send an API key as `Authorization: Bearer plk_…`")
    secret = parse_api_key(token)
    if secret is None:
        raise Unauthenticated("this is not a valid API key")
    async with sessions() as session:
        found = await queries.find_key_in_use(session, secret.api_key_id)
    if found is None or not hmac.compare_digest(found.secret_sha256, secret.sha256()):
        raise Unauthenticated("this is not a valid API key")
    if found.is_stale:
        async with unit_of_work(sessions, signals, "service:api") as work:
            await queries.note_use(work.session, secret.api_key_id)
    return Principal(found.workspace_id, found.member_id, secret.api_key_id, Role(found.role))
