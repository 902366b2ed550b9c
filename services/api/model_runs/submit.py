"""Submitting a run: everything is checked and frozen, and all of it is written in one transaction."""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_catalog.queries import find_model
from services.api.model_catalog.ranking import Needs, compare
from services.api.model_catalog.service import offer_of
from services.api.model_runs import queries
from services.api.model_runs.checks import Ground, Rows, check_rows, check_submission
from services.api.model_runs.events import emit_state
from services.api.model_runs.queries import RowSelection
from services.api.model_runs.schemas import MAX_ROWS, ModelRunCreate
from services.api.projects.queries import feature_of, hold_project, list_features
from shared.contracts.jobs import Doorbell
from shared.database.alignments import add_alignment
from shared.database.tables import CatalogModelRow, FeatureSchemaRow, ModelRunRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, Problems
from shared.ids import new_id
from shared.model_card import ModelCard, triton_name
from shared.ontology import FeatureSchema
from shared.run_configuration import RunConfiguration

SMALLEST_SEGMENT, LARGEST_SEGMENT, UNMEASURED_SEGMENT = 32, 1024, 64
_SEGMENT_SECONDS = 5.0
_MOST_RINGS = 8


async def submit_model_run(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: ModelRunCreate
) -> ModelRunRow:
    """Held until commit: the project, so that its ontology stays what the alignment was checked with."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    selection = RowSelection(project, wanted.batch_ids, wanted.only_unlabeled, wanted.limit)
    rows = await _look_for_rows(work, selection)
    model = await _model(work, wanted, project, rows)
    features = await list_features(work.session, project)
    present = {row.id: feature_of(row) for row in features if row.removed_in_version is None}
    _refuse_blocked(model, project, list(present.values()))
    card = ModelCard.model_validate(model.card)
    entries = check_submission(wanted, Ground(card, present, _removed(features), rows))

    run = _run_row(principal, project, model, wanted)
    work.session.add(run)
    await work.session.flush()
    add_alignment(work.session, run, entries, principal.member_id)
    segments = await queries.insert_segments(work.session, run, _capped(selection), segment_size(model.rows_per_second))
    run.total = sum(segments)
    _check_total(wanted, run.total)
    await work.session.flush()
    await work.session.refresh(run)
    emit_state(work, run)
    work.ring(Doorbell.RUNS, min(len(segments), _MOST_RINGS))
    return run


def segment_size(rows_per_second: float | None) -> int:
    """About five seconds of work."""
    if not rows_per_second:
        return UNMEASURED_SEGMENT
    return max(SMALLEST_SEGMENT, min(LARGEST_SEGMENT, round(rows_per_second * _SEGMENT_SECONDS)))


async def _look_for_rows(work: UnitOfWork, selection: RowSelection) -> Rows:
    unknown = await queries.find_unknown_batches(work.session, selection.project, selection.batch_ids)
    return Rows(unknown, await queries.has_rows(work.session, selection))


async def _model(work: UnitOfWork, wanted: ModelRunCreate, project: ProjectRow, rows: Rows) -> CatalogModelRow:
    model = await find_model(work.session, project.workspace_id, wanted.model_id)
    if model is None:
        problems = Problems()
        problems.add("/model_id", "unknown_model", "the catalog has no such model")
        check_rows(wanted, rows, problems)
        problems.raise_if_any("the run cannot be submitted like this", code="invalid_model_run")
    assert model is not None
    return model


def _refuse_blocked(model: CatalogModelRow, project: ProjectRow, features: list[FeatureSchema]) -> None:
    blockers = compare(offer_of(model), Needs(project.media_type, features)).blockers
    if blockers:
        raise Conflict(
            "; ".join(one.detail for one in blockers),
            code="model_blocked",
            extra={"blockers": [{"code": one.code, "detail": one.detail} for one in blockers]},
        )


def _removed(features: list[FeatureSchemaRow]) -> set[UUID]:
    return {row.id for row in features if row.removed_in_version is not None}


def _run_row(principal: Principal, project: ProjectRow, model: CatalogModelRow, wanted: ModelRunCreate) -> ModelRunRow:
    card = ModelCard.model_validate(model.card)
    configuration = RunConfiguration(
        catalog_model_id=model.id,
        digest=model.digest,
        triton_model=triton_name(model.slug, model.digest),
        card=card,
        floor=card.floor,
        ontology_version=project.ontology_version,
        criteria=dict(wanted.criteria),
        batch_ids=wanted.batch_ids,
        only_unlabeled=wanted.only_unlabeled,
        limit=wanted.limit,
    )
    return ModelRunRow(
        id=new_id(),
        workspace_id=project.workspace_id,
        project_id=project.id,
        catalog_model_id=model.id,
        purpose="run",
        name=wanted.name.strip() or model.name,
        state="queued",
        execution=1,
        alignment_version=1,
        configuration=configuration.model_dump(mode="json"),
        priority=wanted.priority,
        total=0,
        created_by=principal.member_id,
    )


def _capped(selection: RowSelection) -> RowSelection:
    """One row more than a run may have shows that there are too many."""
    limit = MAX_ROWS + 1 if selection.limit is None else selection.limit
    return RowSelection(selection.project, selection.batch_ids, selection.only_unlabeled, limit)


def _check_total(wanted: ModelRunCreate, total: int) -> None:
    problems = Problems()
    check_rows(wanted, Rows((), any_to_do=total > 0), problems)
    if total > MAX_ROWS:
        problems.add(
            "/limit", "too_many_rows", f"a run takes at most {MAX_ROWS} data rows; set a limit or name batches"
        )
    problems.raise_if_any("the run cannot be submitted like this", code="invalid_model_run")
