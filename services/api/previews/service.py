"""Previews: try a model on a sample, look, and change what is shown."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.model_runs import ledger, outcomes, pre_labels
from services.api.model_runs.cancel import cancel_run
from services.api.model_runs.checks import check_threshold
from services.api.model_runs.outcomes import OutcomeFilter, OutcomePage
from services.api.model_runs.pre_labels import PreLabelFilter, PreLabelPage
from services.api.model_runs.schemas import Ledger
from services.api.paging import Paging
from services.api.previews import queries
from services.api.previews.comparing import compare_previews
from services.api.previews.create import create_preview
from services.api.previews.realign import update_preview
from services.api.previews.remove import remove_preview
from services.api.previews.schemas import PreviewComparison, Sweep, TextMatch
from services.api.previews.sweeping import sweep_preview
from services.api.projects.queries import get_project
from shared.contracts.resources import Preview, PreviewSummary
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import NotFound, Problems
from shared.run_configuration import RunConfiguration
from shared.snapshots import preview_snapshot

__all__ = [
    "cancel_preview",
    "create_preview",
    "delete_preview",
    "get_comparison",
    "get_ledger",
    "get_preview",
    "get_sweep",
    "list_outcomes",
    "list_pre_labels",
    "list_previews",
    "update_preview",
]


async def get_preview(session: AsyncSession, principal: Principal, preview_id: UUID) -> Preview:
    found = await preview_snapshot(session, principal.workspace_id, preview_id)
    if found is None:
        raise NotFound()
    return found


async def list_previews(
    session: AsyncSession, principal: Principal, project_id: UUID, paging: Paging
) -> list[PreviewSummary]:
    project = await get_project(session, principal.workspace_id, project_id)
    return await queries.list_previews(session, project, paging.after_id, paging.fetch)


async def cancel_preview(work: UnitOfWork, principal: Principal, preview_id: UUID) -> ModelRunRow:
    """What it has found stays to be looked at. Raises Conflict when it has ended."""
    preview = await queries.get_preview(work.session, principal.workspace_id, preview_id)
    await cancel_run(work, preview, "keep")
    return preview


async def delete_preview(work: UnitOfWork, principal: Principal, preview_id: UUID) -> None:
    await remove_preview(work, await queries.get_preview(work.session, principal.workspace_id, preview_id))


async def list_outcomes(
    session: AsyncSession, principal: Principal, preview_id: UUID, wanted: OutcomeFilter, paging: Paging
) -> OutcomePage:
    preview = await queries.get_preview(session, principal.workspace_id, preview_id)
    return await outcomes.list_outcomes(session, preview, wanted, paging.after, paging.size)


async def list_pre_labels(
    session: AsyncSession, principal: Principal, preview_id: UUID, wanted: PreLabelFilter, paging: Paging
) -> PreLabelPage:
    preview = await queries.get_preview(session, principal.workspace_id, preview_id)
    problems = Problems()
    check_threshold("", wanted.threshold, RunConfiguration.model_validate(preview.configuration).card, problems)
    problems.raise_if_any("such a threshold shows nothing", code="invalid_threshold")
    return await pre_labels.list_pre_labels(session, preview, wanted, paging.after, paging.size)


async def get_ledger(session: AsyncSession, principal: Principal, preview_id: UUID) -> Ledger:
    return await ledger.read_ledger(session, await queries.get_preview(session, principal.workspace_id, preview_id))


async def get_sweep(session: AsyncSession, principal: Principal, preview_id: UUID, text_match: TextMatch) -> Sweep:
    preview = await queries.get_preview(session, principal.workspace_id, preview_id)
    return await sweep_preview(session, preview, text_match)


async def get_comparison(
    session: AsyncSession, principal: Principal, ids: Sequence[UUID], paging: Paging
) -> PreviewComparison:
    previews = [await queries.get_preview(session, principal.workspace_id, preview_id) for preview_id in ids]
    return await compare_previews(session, previews, paging)
