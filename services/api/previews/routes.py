"""Previews: try a model on a sample, see what it says, and change what is shown without another inference."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.api.dependencies import Editor, IfMatch, Paged, Reader, Settings, Viewer, Work
from services.api.etags import etag
from services.api.idempotency import IdempotentRoute
from services.api.model_runs.outcomes import OutcomeFilter
from services.api.model_runs.pre_labels import PreLabelFilter
from services.api.model_runs.schemas import AlignmentUpdate, Ledger, Outcome, OutcomeState, PreLabel
from services.api.paging import by_id
from services.api.previews import service
from services.api.previews.comparing import read_ids
from services.api.previews.schemas import PreviewComparison, PreviewCreate, Sweep, TextMatch
from services.api.problems import problems
from shared.contracts.http import Page
from shared.contracts.resources import Preview, PreviewSummary
from shared.snapshots import preview_of

router = APIRouter(prefix="/v1", tags=["previews"], route_class=IdempotentRoute)


@router.post("/projects/{project_id}/previews", status_code=202, responses=problems(404, 409))
async def create_preview(
    principal: Editor, work: Work, settings: Settings, project_id: UUID, wanted: PreviewCreate, response: Response
) -> Preview:
    """Try a model on a sample of the data rows. Nothing of it comes into the review or the runs.

    Everything wrong is listed at once by JSON pointer. A model that cannot be run on this project: 409 with `blockers`.
    The project's oldest previews that have ended make room for new ones.
    """
    preview = await service.create_preview(work, principal, project_id, wanted, settings.previews_kept)
    response.headers["Location"] = f"/v1/previews/{preview.id}"
    return _shown(await preview_of(work.session, preview), response)


@router.get("/projects/{project_id}/previews", responses=problems(400, 404))
async def list_previews(principal: Viewer, session: Reader, paging: Paged, project_id: UUID) -> Page[PreviewSummary]:
    """The project's previews, newest first."""
    return paging.page(await service.list_previews(session, principal, project_id, paging), by_id)


@router.get("/previews/compare", responses=problems(400, 404, 409))
async def compare_previews(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    ids: Annotated[str, Query(max_length=500, description="two or three preview ids, with commas between them")],
) -> PreviewComparison:
    """Previews of the same data rows side by side: what each shows, how far they agree, and where they do not.

    `items` are the data rows that differ. Previews of different data rows give 409.
    """
    return await service.get_comparison(session, principal, read_ids(ids), paging)


@router.get("/previews/{preview_id}", responses=problems(404))
async def get_preview(principal: Viewer, session: Reader, preview_id: UUID, response: Response) -> Preview:
    """One preview: its state, its sample, how far it is, and its alignment, whose version is the ETag."""
    return _shown(await service.get_preview(session, principal, preview_id), response)


@router.patch("/previews/{preview_id}", responses=problems(404, 409, 412, 428))
async def update_preview(
    principal: Editor,
    work: Work,
    preview_id: UUID,
    expected: IfMatch,
    changes: AlignmentUpdate,
    response: Response,
) -> Preview:
    """Show what it has found through another alignment or other thresholds (merge patch). No model is asked.

    What changes is a new version, hence another ETag. For a preview that has not ended: 409.
    """
    preview = await service.update_preview(work, principal, preview_id, expected, changes)
    return _shown(await preview_of(work.session, preview), response)


@router.delete("/previews/{preview_id}", status_code=204, responses=problems(404))
async def delete_preview(principal: Editor, work: Work, preview_id: UUID) -> None:
    """Remove it for good, whatever its state, with all it has found."""
    await service.delete_preview(work, principal, preview_id)


@router.post("/previews/{preview_id}/cancel", responses=problems(404, 409))
async def cancel_preview(principal: Editor, work: Work, preview_id: UUID, response: Response) -> Preview:
    """End an open preview; what it has found stays. For one that has ended: 409 with `allowed`."""
    preview = await service.cancel_preview(work, principal, preview_id)
    return _shown(await preview_of(work.session, preview), response)


@router.get("/previews/{preview_id}/outcomes", responses=problems(400, 404))
async def list_preview_outcomes(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    preview_id: UUID,
    state: Annotated[OutcomeState | None, Query()] = None,
    code: Annotated[str | None, Query(max_length=100, examples=["undecodable"])] = None,
) -> Page[Outcome]:
    """What became of each data row of the sample, in data row order."""
    found = await service.list_outcomes(session, principal, preview_id, OutcomeFilter(state, code), paging)
    return paging.page_with(found.items, found.next_key)


@router.get("/previews/{preview_id}/pre-labels", responses=problems(400, 404))
async def list_preview_pre_labels(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    preview_id: UUID,
    threshold: Annotated[
        float | None,
        Query(ge=0, le=1, allow_inf_nan=False, description="in place of all thresholds, for this answer only"),
    ] = None,
    data_row_id: Annotated[UUID | None, Query()] = None,
    feature_schema_id: Annotated[UUID | None, Query()] = None,
    model_class: Annotated[str | None, Query(max_length=500)] = None,
) -> Page[PreLabel]:
    """What the preview shows, by data row: each with its tool, its model class and how sure the model is.

    `model_run_id` is the preview's id, and `state` is always `pending`: nothing of a preview can be decided.
    """
    wanted = PreLabelFilter(data_row_id, feature_schema_id, model_class, threshold=threshold)
    found = await service.list_pre_labels(session, principal, preview_id, wanted, paging)
    return paging.page_with(found.items, found.next_key)


@router.get("/previews/{preview_id}/ledger", responses=problems(404))
async def get_preview_ledger(principal: Viewer, session: Reader, preview_id: UUID) -> Ledger:
    """Where every detection of the preview went, class by class."""
    return await service.get_ledger(session, principal, preview_id)


@router.get("/previews/{preview_id}/sweep", responses=problems(404))
async def get_preview_sweep(
    principal: Viewer,
    session: Reader,
    preview_id: UUID,
    text_match: Annotated[
        TextMatch, Query(description="whether a text entity must be the very one of a label, or only overlap it")
    ] = "exact",
) -> Sweep:
    """How much each class would show at every threshold, and how right that is where people have labeled.

    Each point is what the alignment shows with that threshold in place of all others. Boxes, polygons and masks are
    right when they overlap a label of the same feature by half (IoU 0.5), the surest first, each label once.
    """
    return await service.get_sweep(session, principal, preview_id, text_match)


def _shown(preview: Preview, response: Response) -> Preview:
    response.headers["ETag"] = etag(preview.alignment_version)
    return preview
