"""Exchange: what exports read, data row by data row, and how uploads find data rows. Straight from the driver."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.exchange.rows import Extras, RowFacts
from services.api.exchange.vocabulary import Vocabulary
from services.api.projects.queries import feature_of, find_ontology, list_features
from shared.database.driver import driver_of
from shared.database.tables import BatchRow, ModelRunRow, ProjectRow
from shared.ontology import Ontology

_FIRST = UUID(int=0)
_FACTS = "d.id, d.global_key, c.uri, c.text, c.mime_type, c.width, c.height, c.length, d.metadata::text AS metadata"
_IN_BATCH = """
    AND ({batch}::uuid IS NULL OR EXISTS (
        SELECT 1 FROM batch_data_rows b WHERE b.batch_id = {batch} AND b.data_row_id = d.id))
    AND (NOT {submitted}::bool OR EXISTS (
        SELECT 1 FROM data_row_reviews v WHERE v.data_row_id = d.id AND v.state = 'submitted'))
"""
_LABEL = """
    l.deleted_at IS NULL
    AND ({feature}::uuid IS NULL OR l.feature_schema_id = {feature})
    AND ({run}::text IS NULL OR l.provenance ->> 'model_run_id' = {run})
    AND ({since}::timestamptz IS NULL OR l.updated_at >= {since})
"""
_ROWS_WITH_LABELS = f"""
    SELECT {_FACTS} FROM data_rows d JOIN data_row_contents c ON c.data_row_id = d.id
    WHERE d.workspace_id = $1 AND d.project_id = $2 AND d.id > $3
    {_IN_BATCH.format(batch="$5", submitted="$6")}
    AND ($7::bool OR EXISTS (
        SELECT 1 FROM labels l WHERE l.data_row_id = d.id AND {_LABEL.format(feature="$8", run="$9", since="$10")}))
    ORDER BY d.id LIMIT $4
"""
_LABELS = f"""
    SELECT l.data_row_id, l.id, l.feature_schema_id, l.annotation::text, l.classifications::text, l.provenance::text,
           l.extras::text, l.external_id, l.created_by, l.created_at
    FROM labels l WHERE l.workspace_id = $1 AND l.data_row_id = ANY($2)
    AND {_LABEL.format(feature="$3", run="$4", since="$5")}
    ORDER BY l.data_row_id, l.id
"""
_ROWS_OF_RUN = f"""
    SELECT {_FACTS} FROM row_outcomes o
    JOIN data_rows d ON d.id = o.data_row_id JOIN data_row_contents c ON c.data_row_id = d.id
    WHERE o.workspace_id = $1 AND o.model_run_id = $2 AND o.state = 'succeeded' AND o.data_row_id > $3
    {_IN_BATCH.format(batch="$5", submitted="$6")}
    ORDER BY o.data_row_id LIMIT $4
"""
_REVIEWS = """
    SELECT data_row_id, state, revision, submitted_by, submitted_at, seconds, origin::text FROM data_row_reviews
    WHERE workspace_id = $1 AND data_row_id = ANY($2)
"""
_DECISIONS = """
    SELECT d.data_row_id, d.id, d.action, d.model_run_id, d.ordinal, d.feature_schema_id, d.option_id, d.shown::text,
           d.before::text, d.made::text, d.difference::text, coalesce(l.external_id, d.label_id::text) AS label_id,
           d.replaces, d.undoes, d.undone, d.revision, d.operation_id, d.policy_id, d.decided_by, d.decided_at,
           d.origin::text
    FROM decisions d LEFT JOIN labels l ON l.id = d.label_id
    WHERE d.workspace_id = $1 AND d.data_row_id = ANY($2) ORDER BY d.data_row_id, d.revision, d.id
"""
_EXTRAS = """
    SELECT data_row_id, ordinal, extras::text FROM detections
    WHERE workspace_id = $1 AND model_run_id = $2 AND data_row_id = ANY($3) AND extras IS NOT NULL
"""
_BY_KEY = f"""
    SELECT {_FACTS} FROM data_rows d JOIN data_row_contents c ON c.data_row_id = d.id
    WHERE d.workspace_id = $1 AND d.project_id = $2 AND (d.global_key = ANY($3) OR d.id = ANY($4))
"""

Record: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which data rows and labels are wanted. `empty_rows`: also data rows without any of these labels."""

    batch_id: UUID | None = None
    feature_schema_id: UUID | None = None
    model_run_id: UUID | None = None
    submitted: bool = False
    since: datetime | None = None
    empty_rows: bool = False

    @property
    def chooses_labels(self) -> bool:
        """Whether a data row may have labels that are not wanted."""
        return not (self.feature_schema_id is None and self.model_run_id is None and self.since is None)


async def read_vocabulary(session: AsyncSession, project: ProjectRow) -> Vocabulary:
    """Of the present ontology, with what earlier versions had."""
    row = await find_ontology(session, project)
    removed = [feature_of(one) for one in await list_features(session, project) if one.removed_in_version is not None]
    return Vocabulary(Ontology.model_validate(row.tree) if row else Ontology(), removed)


async def has_batch(session: AsyncSession, project: ProjectRow, batch_id: UUID) -> bool:
    found = select(BatchRow.id).where(
        BatchRow.workspace_id == project.workspace_id, BatchRow.project_id == project.id, BatchRow.id == batch_id
    )
    return await session.scalar(found) is not None


async def next_labelled(
    session: AsyncSession, project: ProjectRow, wanted: RowFilter, after: UUID | None, limit: int
) -> list[RowFacts]:
    """The next data rows, by id."""
    found = await (await driver_of(session)).fetch(
        _ROWS_WITH_LABELS,
        *(project.workspace_id, project.id, after or _FIRST, limit, wanted.batch_id, wanted.submitted),
        *(wanted.empty_rows, *_label_filter(wanted)),
    )
    return [facts_of(row) for row in found]


async def labels_of(
    session: AsyncSession, project: ProjectRow, wanted: RowFilter, data_row_ids: Sequence[UUID]
) -> list[Record]:
    driver = await driver_of(session)
    found: list[Record] = await driver.fetch(_LABELS, project.workspace_id, data_row_ids, *_label_filter(wanted))
    return found


async def next_of_run(
    session: AsyncSession, project: ProjectRow, wanted: RowFilter, after: UUID | None, limit: int
) -> list[RowFacts]:
    """The next data rows that `wanted.model_run_id` succeeded with, by id."""
    found = await (await driver_of(session)).fetch(
        _ROWS_OF_RUN,
        *(project.workspace_id, wanted.model_run_id, after or _FIRST, limit, wanted.batch_id, wanted.submitted),
    )
    return [facts_of(row) for row in found]


async def reviews_of(session: AsyncSession, project: ProjectRow, data_row_ids: Sequence[UUID]) -> list[Record]:
    driver = await driver_of(session)
    found: list[Record] = await driver.fetch(_REVIEWS, project.workspace_id, data_row_ids)
    return found


async def decisions_of(session: AsyncSession, project: ProjectRow, data_row_ids: Sequence[UUID]) -> list[Record]:
    driver = await driver_of(session)
    found: list[Record] = await driver.fetch(_DECISIONS, project.workspace_id, data_row_ids)
    return found


async def extras_of(
    session: AsyncSession, run: ModelRunRow, data_row_ids: Sequence[UUID]
) -> dict[tuple[UUID, int], Extras]:
    """By data row and ordinal; only imports have any."""
    driver = await driver_of(session)
    found = await driver.fetch(_EXTRAS, run.workspace_id, run.id, data_row_ids)
    return {(row_id, ordinal): orjson.loads(extras) for row_id, ordinal, extras in found}


async def find_rows(
    session: AsyncSession, project: ProjectRow, keys: Sequence[str], ids: Sequence[UUID]
) -> list[RowFacts]:
    """The project's data rows of these global keys and ids."""
    driver = await driver_of(session)
    return [facts_of(row) for row in await driver.fetch(_BY_KEY, project.workspace_id, project.id, keys, ids)]


def facts_of(row: Record) -> RowFacts:
    facts = dict(row.items())
    return RowFacts(**{**facts, "metadata": orjson.loads(facts["metadata"])})


def _label_filter(wanted: RowFilter) -> tuple[object, ...]:
    return wanted.feature_schema_id, wanted.model_run_id and str(wanted.model_run_id), wanted.since
