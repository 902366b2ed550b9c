"""The gate in front of model-assisted labeling: each check says what to do when it fails."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.projects import queries
from services.api.projects.schemas import Readiness, ReadinessCheck
from shared.annotations import FeatureType, features_taking
from shared.database.tables import ProjectRow

_READY = "ready"


async def check_readiness(session: AsyncSession, project: ProjectRow) -> Readiness:
    # Only top features count: what is nested under a tool is answered per object, which no model of the catalog does.
    rows = await queries.list_features(session, project)
    types = {FeatureType(row.type) for row in rows if row.type and not row.parent_id and row.removed_in_version is None}
    models = await queries.list_model_kinds(session, project)
    checks = [
        _check(
            "ontology",
            bool(types),
            ("the ontology has features", "the project has no ontology with at least one feature"),
            f"PUT /v1/projects/{project.id}/ontology with a tool or a classification",
        ),
        _check(
            "data_rows",
            await queries.has_data_rows(session, project),
            ("the project has data rows", "the project has no data rows"),
            f"POST /v1/projects/{project.id}/data-rows, or …/data-rows/upload",
        ),
        _check(
            "batch",
            await queries.has_batch(session, project),
            ("the project has a batch", "no data row is in a batch"),
            f'POST /v1/projects/{project.id}/batches with {{"name": "…", "all": true}}',
        ),
        _check_models(project, types, models),
    ]
    return Readiness(ready=all(check.ok for check in checks), checks=checks)


def _check_models(project: ProjectRow, types: set[FeatureType], models: list[tuple[str, str]]) -> ReadinessCheck:
    fitting = [state for state, kind in models if features_taking(kind) & types]
    if not models:
        missing = f"no model in the catalog works on {project.media_type} data"
        fix = "ask the operator to build one into the model repository"
    elif not fitting:
        kinds = ", ".join(sorted({feature for _, kind in models for feature in features_taking(kind)}))
        missing = "no model gives what the ontology's features take"
        fix = f"add one of these to the ontology: {kinds}"
    else:
        missing = "the models that fit are not loaded"
        fix = "wait until one is ready, or see its state_reason in GET /v1/models"
    return _check("model", _READY in fitting, ("at least one model that fits is ready", missing), fix)


def _check(code: str, ok: bool, details: tuple[str, str], fix: str) -> ReadinessCheck:
    return ReadinessCheck(code=code, ok=ok, detail=details[not ok], fix=None if ok else fix)
