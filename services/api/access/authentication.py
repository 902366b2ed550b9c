"""From a bearer token to a principal."""

from services.api.access.principal import Principal, Role
from shared.database.engine import Sessions
from shared.database.keys_in_use import find_key_in_use, note_use
from shared.database.unit_of_work import unit_of_work
from shared.errors import Unauthenticated
from shared.signals import Signals


async def authenticate(sessions: Sessions, signals: Signals, token: str | None) -> Principal:
    """Raises Unauthenticated without saying which part of the token was wrong."""
    if token is None:
        raise Unauthenticated("send an API key as `Authorization: Bearer plk_…`")
    async with sessions() as session:
        found = await find_key_in_use(session, token)
    if found is None:
        raise Unauthenticated("this is not a valid API key")
    if found.is_stale:
        async with unit_of_work(sessions, signals, "service:api") as work:
            await note_use(work.session, found.api_key_id)
    return Principal(found.workspace_id, found.member_id, found.api_key_id, Role(found.role))
