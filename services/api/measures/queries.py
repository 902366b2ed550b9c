"""Measures: counted in the database, so that what leaves it is a few hundred numbers however many decisions there are.

`docs/measures.md` says which decisions count for what.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import RowMapping, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import FeatureSchemaRow, ModelRunRow, ProjectRow

Names: TypeAlias = dict[UUID | None, str]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which decisions are measured: those about these runs of one project, on data rows `also_in` has results for.

    An edit is right from the likeness `same_from` on. `bulk`: those somebody made without looking at each one, too.
    """

    project: ProjectRow
    runs: Sequence[ModelRunRow]
    same_from: float
    bulk: bool = False
    also_in: UUID | None = None

    @property
    def values(self) -> dict[str, Any]:
        return {
            "workspace": self.project.workspace_id,
            "project": self.project.id,
            "runs": [run.id for run in self.runs],
            "same": self.same_from,
            "bulk": self.bulk,
            "also": self.also_in,
        }


# What policies and bulks decided was looked at by nobody; who corrects it afterwards looks only at what is wrong.
_JUDGED = """
    WITH unseen AS (
        SELECT p.model_run_id, p.data_row_id, p.ordinal FROM decisions p
        WHERE p.workspace_id = :workspace AND p.model_run_id = ANY(CAST(:runs AS uuid[])) AND p.undone
          AND (p.policy_id IS NOT NULL OR (p.operation_id IS NOT NULL AND NOT :bulk)) AND p.action <> 'undo'
          AND NOT EXISTS (SELECT 1 FROM decisions u WHERE u.data_row_id = p.data_row_id AND u.undoes = p.id)
    ), decided AS (
        SELECT d.model_run_id, d.data_row_id, d.model_class, d.feature_schema_id, d.option_id, d.confidence, d.action,
               d.made, CAST(d.difference ->> 'likeness' AS float8) AS likeness,
               d.made -> 'annotation' ->> 'kind' NOT IN ('radio', 'checklist', 'free_text') AS is_shape,
               CASE d.action
                   WHEN 'accept' THEN true
                   WHEN 'edit' THEN NOT CAST(d.difference ->> 'feature_changed' AS boolean)
                       AND coalesce(CAST(d.difference ->> 'likeness' AS float8), 0) >= :same
                   ELSE false
               END AS is_right
        FROM decisions d
        WHERE d.workspace_id = :workspace AND d.model_run_id = ANY(CAST(:runs AS uuid[])) AND NOT d.undone
          AND d.action IN ('accept', 'edit', 'reject') AND d.policy_id IS NULL
          AND (:bulk OR d.operation_id IS NULL)
          AND NOT EXISTS (
              SELECT 1 FROM unseen n
              WHERE n.model_run_id = d.model_run_id AND n.data_row_id = d.data_row_id AND n.ordinal = d.ordinal
          )
          AND (CAST(:also AS uuid) IS NULL OR EXISTS (
              SELECT 1 FROM row_outcomes o
              WHERE o.model_run_id = CAST(:also AS uuid) AND o.data_row_id = d.data_row_id AND o.state = 'succeeded'
          ))
    ), reviewed AS (
        SELECT o.model_run_id, o.data_row_id, o.created_at, v.seconds
        FROM row_outcomes o
        JOIN data_row_reviews v ON v.data_row_id = o.data_row_id
        WHERE o.workspace_id = :workspace AND o.model_run_id = ANY(CAST(:runs AS uuid[])) AND o.state = 'succeeded'
          AND v.project_id = :project AND v.state = 'submitted' AND v.submitted_at >= o.created_at AND v.origin IS NULL
          AND NOT EXISTS (SELECT 1 FROM withheld_rows w WHERE w.data_row_id = o.data_row_id)
          AND (CAST(:also AS uuid) IS NULL OR EXISTS (
              SELECT 1 FROM row_outcomes also
              WHERE also.model_run_id = CAST(:also AS uuid) AND also.data_row_id = o.data_row_id
                AND also.state = 'succeeded'
          ))
    )
"""

_CLASSES = text(
    _JUDGED
    + """
    SELECT d.model_class, d.feature_schema_id, d.option_id,
           count(*) AS judged, count(*) FILTER (WHERE d.is_right) AS right,
           count(*) FILTER (WHERE d.action = 'accept') AS accepted,
           count(*) FILTER (WHERE d.action = 'edit') AS edited,
           count(*) FILTER (WHERE d.action = 'reject') AS rejected,
           count(*) FILTER (WHERE d.is_right AND r.data_row_id IS NOT NULL) AS found,
           count(*) FILTER (WHERE NOT d.is_right AND d.action = 'edit' AND r.data_row_id IS NOT NULL) AS misplaced,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY d.likeness) FILTER (WHERE d.is_shape) AS likeness
    FROM decided d
    LEFT JOIN reviewed r ON r.model_run_id = d.model_run_id AND r.data_row_id = d.data_row_id
    GROUP BY GROUPING SETS ((d.model_class, d.feature_schema_id, d.option_id), ())
"""
)

# Objects that were there and that the run had not got right: by hand, or made of something else.
_MISSED = text(
    _JUDGED
    + """
    , aligned AS (
        SELECT DISTINCT e.model_run_id, e.feature_schema_id, e.option_id FROM alignment_entries e
        JOIN model_runs m ON m.id = e.model_run_id AND m.alignment_version = e.version
        WHERE e.workspace_id = :workspace AND e.model_run_id = ANY(CAST(:runs AS uuid[]))
    ), missed AS (
        SELECT l.feature_schema_id, option.id AS option_id, r.model_run_id
        FROM reviewed r
        JOIN labels l ON l.data_row_id = r.data_row_id
        CROSS JOIN LATERAL (
            SELECT CAST(l.annotation ->> 'option_id' AS uuid) AS id WHERE l.annotation ->> 'kind' <> 'checklist'
            UNION ALL
            SELECT CAST(one ->> 'option_id' AS uuid) FROM jsonb_array_elements(l.annotation -> 'options') one
            WHERE l.annotation ->> 'kind' = 'checklist'
        ) option
        WHERE l.workspace_id = :workspace AND l.deleted_at IS NULL AND l.provenance ->> 'source' = 'hand'
          AND l.created_at >= r.created_at
        UNION ALL
        SELECT CAST(d.made ->> 'feature_schema_id' AS uuid), CAST(d.made -> 'annotation' ->> 'option_id' AS uuid),
               d.model_run_id
        FROM decided d
        JOIN reviewed r ON r.model_run_id = d.model_run_id AND r.data_row_id = d.data_row_id
        WHERE d.action = 'edit' AND NOT d.is_right
    )
    SELECT m.feature_schema_id, m.option_id, count(*) AS missed
    FROM missed m
    WHERE EXISTS (
        SELECT 1 FROM aligned a
        WHERE a.model_run_id = m.model_run_id AND a.feature_schema_id = m.feature_schema_id
          AND (a.option_id IS NULL OR a.option_id = m.option_id)
    )
    GROUP BY m.feature_schema_id, m.option_id
"""
)

_CONFUSION = text(
    _JUDGED
    + """
    SELECT d.feature_schema_id, d.option_id, CAST(d.made ->> 'feature_schema_id' AS uuid) AS made_feature_id,
           CAST(d.made -> 'annotation' ->> 'option_id' AS uuid) AS made_option_id, count(*) AS count
    FROM decided d
    WHERE d.action = 'edit'
    GROUP BY 1, 2, 3, 4
"""
)

_CONFIDENCES = text(
    _JUDGED
    + """
    SELECT trunc(CAST(d.confidence AS numeric) * 100)::int AS hundredth, count(*) AS judged,
           count(*) FILTER (WHERE d.is_right) AS right, sum(d.confidence) AS confidences
    FROM decided d
    WHERE (CAST(:model_class AS text) IS NULL OR d.model_class = CAST(:model_class AS text))
      AND (CAST(:feature AS uuid) IS NULL OR d.feature_schema_id = CAST(:feature AS uuid))
    GROUP BY 1 ORDER BY 1
"""
)

_ROWS = text(
    _JUDGED
    + """
    SELECT count(*) AS submitted, count(seconds) AS timed, avg(seconds) AS mean_seconds,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median_seconds
    FROM (SELECT DISTINCT data_row_id, seconds FROM reviewed) once
"""
)


async def count_classes(session: AsyncSession, scope: Scope) -> Sequence[RowMapping]:
    """By model class and target; the row without a class has all of them."""
    return (await session.execute(_CLASSES, scope.values)).mappings().all()


async def count_missed(session: AsyncSession, scope: Scope) -> Sequence[RowMapping]:
    return (await session.execute(_MISSED, scope.values)).mappings().all()


async def count_confusion(session: AsyncSession, scope: Scope) -> Sequence[RowMapping]:
    """What was shown and what people made of it, of edits."""
    return (await session.execute(_CONFUSION, scope.values)).mappings().all()


async def count_confidences(
    session: AsyncSession, scope: Scope, model_class: str | None, feature_id: UUID | None
) -> Sequence[RowMapping]:
    """By hundredths of confidence."""
    of = {**scope.values, "model_class": model_class, "feature": feature_id}
    return (await session.execute(_CONFIDENCES, of)).mappings().all()


async def count_rows(session: AsyncSession, scope: Scope) -> RowMapping:
    return (await session.execute(_ROWS, scope.values)).mappings().one()


async def list_runs_of(session: AsyncSession, project: ProjectRow, model_id: UUID) -> list[ModelRunRow]:
    found = await session.scalars(
        select(ModelRunRow)
        .where(
            ModelRunRow.workspace_id == project.workspace_id,
            ModelRunRow.project_id == project.id,
            ModelRunRow.catalog_model_id == model_id,
            ModelRunRow.purpose != "preview",
        )
        .order_by(ModelRunRow.id)
    )
    return list(found)


async def feature_names(session: AsyncSession, project: ProjectRow) -> Names:
    found = await session.execute(
        select(FeatureSchemaRow.id, FeatureSchemaRow.name).where(
            FeatureSchemaRow.workspace_id == project.workspace_id, FeatureSchemaRow.project_id == project.id
        )
    )
    return {feature_id: name for feature_id, name in found}
