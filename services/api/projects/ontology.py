"""A new version of a project's ontology. Ids survive versions; what labels or active runs use cannot be removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.projects import queries
from shared.contracts.events import OntologyUpdated
from shared.database.tables import FeatureSchemaRow, OntologyRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, FieldError, Unprocessable
from shared.ontology import Ontology, check_ontology, features, with_ids
from shared.preprocessing import MediaType

# Annotations, answers and targets name features and options by id at any depth, so ids are looked for in their text.
_IN_USE = text("""
    WITH removed AS (SELECT unnest(CAST(:removed AS uuid[])) AS id),
    labels AS (
        -- One pass over the labels, however many nodes go.
        SELECT named.id, count(DISTINCT l.id) AS count
        FROM labels l
        CROSS JOIN LATERAL (
            SELECT l.feature_schema_id AS id
            UNION ALL
            SELECT CAST(found[1] AS uuid)
            FROM regexp_matches(
                concat(l.annotation -> 'option_id', l.annotation -> 'options', l.classifications),
                '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'g'
            ) AS found
        ) AS named
        WHERE l.project_id = :project_id AND l.deleted_at IS NULL AND named.id IN (SELECT id FROM removed)
        GROUP BY named.id
    )
    SELECT removed.id, coalesce(labels.count, 0), runs.ids
    FROM removed LEFT JOIN labels ON labels.id = removed.id
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(DISTINCT r.id), '{}') AS ids
        FROM model_runs r JOIN alignment_entries e ON e.model_run_id = r.id AND e.version = r.alignment_version
        WHERE r.project_id = :project_id AND r.state IN ('queued', 'running', 'stalled', 'paused')
          AND (e.feature_schema_id = removed.id OR e.option_id = removed.id
               OR strpos(e.answers::text, removed.id::text) > 0)
    ) AS runs
    WHERE labels.id IS NOT NULL OR cardinality(runs.ids) > 0
""")


@dataclass(frozen=True, slots=True)
class NewOntology:
    """What was sent, and where in the body it stands."""

    tree: Ontology
    pointer: str = ""


async def save_ontology(
    work: UnitOfWork, principal: Principal, project: ProjectRow, wanted: NewOntology
) -> OntologyRow | None:
    """The new version; the present one when nothing differs. The project's row must be locked, or new."""
    known = await queries.list_features(work.session, project)
    _check(wanted, project, known)
    tree = with_ids(wanted.tree)
    present = await queries.find_ontology(work.session, project)
    if tree == (Ontology.model_validate(present.tree) if present else Ontology()):
        return present
    found = list(features(tree))
    kept = {feature.id for feature in found}
    removed = [row for row in known if row.removed_in_version is None and row.id not in kept]
    await _refuse_if_used(work.session, project, removed)
    project.ontology_version += 1
    await queries.store_features(work.session, project, found, project.ontology_version)
    await _mark_removed(work.session, removed, project.ontology_version)
    row = OntologyRow(
        project_id=project.id,
        version=project.ontology_version,
        workspace_id=project.workspace_id,
        tree=tree.model_dump(mode="json"),
        created_by=principal.member_id,
    )
    work.session.add(row)
    await work.session.flush()
    await work.session.refresh(row)
    work.emit(OntologyUpdated(workspace_id=project.workspace_id, project_id=project.id, ontology_version=row.version))
    return row


def _check(wanted: NewOntology, project: ProjectRow, known: Sequence[FeatureSchemaRow]) -> None:
    media_type: MediaType = "text" if project.media_type == "text" else "image"
    found = check_ontology(wanted.tree, media_type, [queries.feature_of(row) for row in known])
    if found.errors:
        errors = [FieldError(wanted.pointer + e.pointer, e.code, e.detail) for e in found.errors]
        raise Unprocessable("the ontology has problems", code="invalid_ontology", errors=errors)


async def _refuse_if_used(session: AsyncSession, project: ProjectRow, removed: Sequence[FeatureSchemaRow]) -> None:
    if not removed:
        return
    names = {row.id: row.name for row in removed}
    found = await session.execute(_IN_USE, {"removed": list(names), "project_id": project.id})
    used: list[tuple[UUID, int, list[UUID]]] = [(feature, labels, runs) for feature, labels, runs in found]
    if used:
        raise Conflict(
            "labels or active model runs use what this would remove",
            code="ontology_in_use",
            errors=[
                FieldError("", "feature_in_use", f"{names[feature]!r}: {labels} labels, {len(runs)} active model runs")
                for feature, labels, runs in used
            ],
            extra={
                "in_use": [
                    {
                        "feature_schema_id": str(feature),
                        "name": names[feature],
                        "labels": labels,
                        "model_run_ids": [str(run) for run in runs],
                    }
                    for feature, labels, runs in used
                ]
            },
        )


async def _mark_removed(session: AsyncSession, removed: Sequence[FeatureSchemaRow], version: int) -> None:
    if removed:
        ids = [row.id for row in removed]
        await session.execute(
            update(FeatureSchemaRow).where(FeatureSchemaRow.id.in_(ids)).values(removed_in_version=version)
        )
