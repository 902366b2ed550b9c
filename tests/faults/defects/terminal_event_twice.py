"""The end of a run is written twice, as by two workers that both took themselves for the last."""

from services.inference import runs
from shared.contracts.event import RunState
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork


def apply() -> None:
    end = runs._end

    async def end_twice(work: UnitOfWork, run: ModelRunRow, state: RunState, reason: str | None = None) -> None:
        await end(work, run, state, reason)
        await end(work, run, state, reason)

    runs._end = end_twice
