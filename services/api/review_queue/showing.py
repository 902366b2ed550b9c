"""Queued data rows with the pre-labels that lie over them."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.pre_labels import as_shown, feature_names
from services.api.model_runs.schemas import PreLabel
from services.api.model_runs.view import View
from services.api.review_queue import queries
from services.api.review_queue.orders import HEADS, Candidate
from services.api.review_queue.schemas import QueuedRow
from shared.database.tables import ProjectRow

_SHOWING = text(f"""
    WITH {HEADS}
    SELECT p.model_run_id, p.data_row_id FROM heads h
    JOIN row_projections p ON p.model_run_id = h.id AND p.alignment_version = h.alignment_version
    WHERE p.data_row_id = ANY(CAST(:ids AS uuid[])) AND p.shown > 0
""")


async def show(
    session: AsyncSession, project: ProjectRow, found: Sequence[Candidate], run_id: UUID | None
) -> list[QueuedRow]:
    """In their order, with the pre-labels of one run, or of all the newest."""
    ids = [one.data_row_id for one in found]
    places = await queries.list_places(session, project, ids)
    keys = {data_row_id: place.global_key for data_row_id, place in places.items()}
    pre_labels = await _pre_labels(session, project, keys, run_id)
    return [
        QueuedRow(
            data_row_id=one.data_row_id,
            global_key=keys[one.data_row_id],
            revision=places[one.data_row_id].revision,
            score=one.score,
            reserved_by=places[one.data_row_id].reserved_by,
            reserved_until=places[one.data_row_id].reserved_until,
            pre_labels=pre_labels[one.data_row_id],
        )
        for one in found
    ]


async def _pre_labels(
    session: AsyncSession, project: ProjectRow, keys: dict[UUID, str], run_id: UUID | None
) -> defaultdict[UUID, list[PreLabel]]:
    found: defaultdict[UUID, list[PreLabel]] = defaultdict(list)
    given = {"workspace": project.workspace_id, "project": project.id, "run": run_id, "ids": list(keys)}
    rows_of: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for showing, data_row_id in await session.execute(_SHOWING, given):
        rows_of[showing].append(data_row_id)
    if not rows_of:
        return found
    names = await feature_names(session, project.workspace_id, project.id)
    for run in await queries.find_runs(session, project, list(rows_of)):
        looked = await (await View.of(session, run)).look(rows_of[run.id])
        for data_row_id, viewed in looked.items():
            key = keys[data_row_id]
            found[data_row_id] += [as_shown(run, (data_row_id, key), one, names) for one in viewed]
    return found
