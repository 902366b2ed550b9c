"""How good pre-labels are, from what people decided about them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.measures import queries, reading
from services.api.measures.bounds import least_total
from services.api.measures.calibration import Candidate as FoundCandidate
from services.api.measures.calibration import calibrate, candidates, reaching
from services.api.measures.comparing import compare
from services.api.measures.effect import effect_of
from services.api.measures.label_comparison import by_labels
from services.api.measures.queries import Scope
from services.api.measures.schemas import (
    CalibrationCurve,
    LabelComparison,
    MeasuredRows,
    Metrics,
    RunComparison,
    ThresholdCandidate,
    ThresholdSuggestion,
    WithholdingEffect,
)
from services.api.model_runs.queries import get_run
from services.api.paging import Paging
from services.api.projects.queries import get_project
from shared.contracts.resources import RunModel
from shared.database.tables import ModelRunRow, ProjectRow
from shared.errors import NotFound, Unprocessable
from shared.run_configuration import RunConfiguration
from shared.snapshots import run_model

_TWO = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as right, and whether bulk decisions count."""

    same_from: float
    bulk: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A class or feature alone, where one is named."""

    model_class: str | None = None
    feature_schema_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Comparing:
    """`ids` or `model_ids` as they were sent."""

    ids: str | None
    model_ids: str | None
    rules: Rules
    paging: Paging


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs, or two models."""

    ids: Sequence[UUID]
    are_models: bool


async def run_scope(session: AsyncSession, principal: Principal, model_run_id: UUID, rules: Rules) -> Scope:
    run = await get_run(session, principal.workspace_id, model_run_id)
    project = await get_project(session, principal.workspace_id, run.project_id)
    return Scope(project, [run], rules.same_from, rules.bulk)


async def model_scope(
    session: AsyncSession, principal: Principal, project_id: UUID, model_id: UUID, rules: Rules
) -> Scope:
    """All runs of a model version in a project. Raises NotFound when there is none."""
    project = await get_project(session, principal.workspace_id, project_id)
    runs = await queries.list_runs_of(session, project, model_id)
    if not runs:
        raise NotFound("the project has no run of this model")
    return Scope(project, runs, rules.same_from, rules.bulk)


async def get_metrics(session: AsyncSession, scope: Scope) -> Metrics:
    names = await queries.feature_names(session, scope.project)
    classes = await queries.count_classes(session, scope)
    missed = await queries.count_missed(session, scope)
    features = reading.features_of(classes, missed, names)
    found, lost = sum(one.found for one in features), sum(one.missed for one in features)
    return Metrics(
        model=_model(scope.runs),
        model_run_ids=[run.id for run in scope.runs],
        same_from=scope.same_from,
        include_bulk=scope.bulk,
        data_rows=MeasuredRows.model_validate(dict(await queries.count_rows(session, scope))),
        overall=reading.overall_of(classes),
        recall=reading.estimate(found, found + lost),
        classes=reading.classes_of(classes, names),
        features=features,
        confusion=reading.confusion_of(classes, await queries.count_confusion(session, scope), names),
    )


async def get_calibration(session: AsyncSession, scope: Scope, wanted: Wanted, bins: int) -> CalibrationCurve:
    judged = reading.judged_of(
        await queries.count_confidences(session, scope, wanted.model_class, wanted.feature_schema_id)
    )
    found = calibrate(judged, bins)
    return CalibrationCurve(
        model_run_ids=[run.id for run in scope.runs],
        judged=sum(one.total for one in judged),
        bins=reading.bins_of(found),
        expected_error=found.error,
        worst_error=found.worst,
    )


async def suggest_threshold(
    session: AsyncSession, scope: Scope, wanted: Wanted, target: float, confidence: float
) -> ThresholdSuggestion:
    judged = reading.judged_of(
        await queries.count_confidences(session, scope, wanted.model_class, wanted.feature_schema_id)
    )
    found = candidates(judged, target, confidence)
    best = reaching(found, target)
    return ThresholdSuggestion(
        model_run_ids=[run.id for run in scope.runs],
        target_precision=target,
        confidence=confidence,
        judged=sum(one.total for one in judged),
        least_judged=least_total(target, confidence),
        suggestion=_candidate(best) if best else None,
        candidates=[_candidate(one) for one in found],
    )


async def compare_runs(
    session: AsyncSession, principal: Principal, project_id: UUID, wanted: Comparing
) -> RunComparison:
    """On the data rows both have results for. Raises NotFound for a run of another project."""
    project = await get_project(session, principal.workspace_id, project_id)
    first, second = await _two(session, project, wanted.ids, wanted.model_ids)
    scope = Scope(project, [first], wanted.rules.same_from, wanted.rules.bulk)
    metrics = [
        await get_metrics(session, replace(scope, runs=[one], also_in=other.id))
        for one, other in ((first, second), (second, first))
    ]
    return await compare(session, (first, second), metrics, wanted.paging)


async def compare_with_labels(
    session: AsyncSession, principal: Principal, project_id: UUID, ids: str | None, model_ids: str | None
) -> LabelComparison:
    """Raises NotFound for a run of another project."""
    project = await get_project(session, principal.workspace_id, project_id)
    runs = await _two(session, project, ids, model_ids)
    return await by_labels(session, runs, await queries.feature_names(session, project))


async def get_withholding_effect(session: AsyncSession, principal: Principal, model_run_id: UUID) -> WithholdingEffect:
    return await effect_of(session, await get_run(session, principal.workspace_id, model_run_id))


async def _two(
    session: AsyncSession, project: ProjectRow, ids: str | None, model_ids: str | None
) -> tuple[ModelRunRow, ModelRunRow]:
    pair = _read_pair(ids, model_ids)
    first, second = [await _run_of(session, project, one, pair.are_models) for one in pair.ids]
    return first, second


def _read_pair(ids: str | None, model_ids: str | None) -> Pair:
    """Raises Unprocessable unless one of both has two different ids."""
    given = ids if ids is not None else model_ids
    try:
        found = [UUID(part.strip()) for part in (given or "").split(",")]
    except ValueError:
        found = []
    if (ids is None) == (model_ids is None) or len(set(found)) != _TWO or len(found) != _TWO:
        detail = "`ids` or `model_ids` takes two different ids with a comma between them"
        raise Unprocessable(detail, code="invalid_ids")
    return Pair(found, are_models=ids is None)


async def _run_of(session: AsyncSession, project: ProjectRow, wanted: UUID, is_model: bool) -> ModelRunRow:
    """Of a model, its newest run."""
    if is_model:
        runs = await queries.list_runs_of(session, project, wanted)
    else:
        run = await get_run(session, project.workspace_id, wanted)
        runs = [run] if run.project_id == project.id else []
    if not runs:
        raise NotFound("the project has no such run")
    return runs[-1]


def _model(runs: Sequence[ModelRunRow]) -> RunModel | None:
    configuration = runs[-1].configuration
    return run_model(RunConfiguration.model_validate(configuration)) if configuration else None


def _candidate(found: FoundCandidate) -> ThresholdCandidate:
    return ThresholdCandidate(
        threshold=found.threshold,
        judged=found.total,
        right=found.right,
        precision=found.precision,
        lower_bound=found.bound,
    )
