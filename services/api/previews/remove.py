"""Removing previews: on demand, and the oldest when a new one needs room. Nothing of them stays."""

from services.api.model_runs.holding import hold_run
from services.api.previews import queries
from shared.contracts.preview_events import PreviewDeleted
from shared.database.tables import ModelRunRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict


async def remove_preview(work: UnitOfWork, preview: ModelRunRow) -> None:
    """A worker still busy with one of its segments finds none to store for."""
    await hold_run(work, preview)
    await _remove(work, preview)


async def make_room(work: UnitOfWork, project: ProjectRow, kept: int) -> None:
    """Remove the oldest that have ended, so that one more makes `kept` at most.

    Raises Conflict when too many have not ended.
    """
    every, still_open = await queries.count_previews(work.session, project)
    if still_open >= kept:
        raise Conflict(
            f"{still_open} previews of the project have not ended yet; wait, or cancel one", code="too_many_previews"
        )
    if every >= kept:
        for preview in await queries.hold_oldest(work.session, project, every - kept + 1):
            await _remove(work, preview)


async def _remove(work: UnitOfWork, preview: ModelRunRow) -> None:
    await queries.delete_preview(work.session, preview)
    work.emit(
        PreviewDeleted(
            workspace_id=preview.workspace_id,
            project_id=preview.project_id,
            preview_id=preview.id,
        )
    )
