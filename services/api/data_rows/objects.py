"""Uploads that no data row names any more, and imports that name one of them after all.

What is noted here is removed a day later by `services.api.removal`, if it is still named by nobody. An import takes it
off the list in its own transaction; no such transaction lasts a day, so one that has not seen the note is over by then.
"""

import re
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import UnusedObjectRow
from shared.errors import Unavailable
from shared.object_store import ObjectStore, key_of

_CONTENT = re.compile(r"store://[0-9a-f-]{36}/data-rows/[0-9a-f]{64}")
"""Only what an upload has put there: the folder of a workspace may hold files that an operator did."""


async def note_unused(session: AsyncSession, workspace_id: UUID, uris: Collection[str]) -> None:
    """Perhaps unused: nobody has looked yet who else names them."""
    noted = [{"uri": uri, "workspace_id": workspace_id} for uri in sorted(set(uris)) if _CONTENT.fullmatch(uri)]
    if not noted:
        return
    anew = {"noted_at": func.now(), "removing_at": None, "removed_at": None}
    row = insert(UnusedObjectRow).values(noted)
    # One that is being removed at this moment stays so: it is known by nobody.
    again = UnusedObjectRow.removing_at.is_(None) | UnusedObjectRow.removed_at.is_not(None)
    await session.execute(row.on_conflict_do_update(index_elements=["uri"], set_=anew, where=again))


async def use_objects(session: AsyncSession, store: ObjectStore, uris: Collection[str]) -> None:
    """Before data rows that name them are stored.

    Raises Unavailable when one was removed after the client had sent it or seen it; sent again, it is there.
    """
    wanted = sorted({uri for uri in uris if _CONTENT.fullmatch(uri)})
    if not wanted:
        return
    named = UnusedObjectRow.uri.in_(wanted)
    await session.execute(delete(UnusedObjectRow).where(named, UnusedObjectRow.removing_at.is_(None)))
    left = (await session.scalars(select(UnusedObjectRow).where(named))).all()
    for one in left:
        if one.removed_at is None or not await store.has(key_of(one.uri) or ""):
            raise Unavailable("a content was removed from the object store just now; send it again")
    await session.execute(delete(UnusedObjectRow).where(named, UnusedObjectRow.removed_at.is_not(None)))
