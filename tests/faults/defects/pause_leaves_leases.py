"""A pause frees the segments nobody works on anyway, and leaves the others to their workers."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs import queries
from shared.database.tables import ModelRunRow


def apply() -> None:
    queries.free_segments = _free_nothing


async def _free_nothing(session: AsyncSession, run: ModelRunRow) -> None:
    del session, run
