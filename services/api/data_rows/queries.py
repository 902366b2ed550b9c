"""Data rows and batches: what is read and written, always by the set."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import orjson
from sqlalchemy import Select, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.driver import driver_of
from shared.database.tables import BatchDataRowRow, BatchRow, DataRowContentRow, DataRowRow, ProjectRow

RowAndContent: TypeAlias = tuple[DataRowRow, DataRowContentRow]


@dataclass(frozen=True, slots=True)
class ContentFacts:
    """What is known of a content before anybody has read it again."""

    mime_type: str
    sha256: bytes
    byte_size: int
    width: int | None = None
    height: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class NewDataRow:
    id: UUID
    global_key: str
    metadata: dict[str, Any]
    uri: str | None
    text: str | None
    facts: ContentFacts | None


@dataclass(frozen=True, slots=True)
class StoredDataRow:
    id: UUID
    metadata: dict[str, Any]
    uri: str | None
    text_sha256: bytes | None


@dataclass(frozen=True, slots=True)
class DataRowFilter:
    project_id: UUID
    global_key: str | None = None
    batch_id: UUID | None = None


# Ordered by key, so that two imports of the same keys wait for one another and never deadlock.
_INSERT_ROWS = text("""
    INSERT INTO data_rows (id, workspace_id, project_id, global_key, metadata)
    SELECT n.id, :workspace_id, :project_id, n.global_key, CAST(n.metadata AS jsonb)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:metadata AS text[])) AS n(id, global_key, metadata)
    ORDER BY n.global_key
    ON CONFLICT (project_id, global_key) DO NOTHING
    RETURNING id
""")
_CONTENTS = (
    *("data_row_id", "workspace_id", "uri", "text", "mime_type", "sha256", "byte_size", "width", "height", "length"),
    "read_at",
)
_UNREAD = (None,) * 7
_INSERT_IDS = text("""
    INSERT INTO batch_data_rows (batch_id, data_row_id, workspace_id, submitted)
    SELECT :batch_id, id, workspace_id, submitted FROM data_rows
    WHERE project_id = :project_id AND id = ANY(CAST(:ids AS uuid[]))
""")
_INSERT_ALL = text("""
    INSERT INTO batch_data_rows (batch_id, data_row_id, workspace_id, submitted)
    SELECT :batch_id, id, workspace_id, submitted FROM data_rows WHERE project_id = :project_id
""")
_UNKNOWN_IDS = text("""
    SELECT wanted.place - 1 FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS wanted(id, place)
    LEFT JOIN data_rows d ON d.id = wanted.id AND d.project_id = :project_id
    WHERE d.id IS NULL ORDER BY wanted.place LIMIT :limit
""")


async def insert_data_rows(session: AsyncSession, project: ProjectRow, rows: Sequence[NewDataRow]) -> set[UUID]:
    """The ids of those that were new; a `global_key` that is there already stays as it is."""
    found = await session.scalars(
        _INSERT_ROWS,
        {
            "workspace_id": project.workspace_id,
            "project_id": project.id,
            "ids": [row.id for row in rows],
            "keys": [row.global_key for row in rows],
            "metadata": [orjson.dumps(row.metadata).decode() for row in rows],
        },
    )
    created = set(found)
    if created:
        await _insert_contents(session, project, [row for row in rows if row.id in created])
    return created


async def find_by_global_key(
    session: AsyncSession, project: ProjectRow, keys: Sequence[str]
) -> dict[str, StoredDataRow]:
    found = await session.execute(
        select(
            DataRowRow.global_key,
            DataRowRow.id,
            DataRowRow.metadata_,
            DataRowContentRow.uri,
            DataRowContentRow.sha256,
        )
        .join(DataRowContentRow, DataRowContentRow.data_row_id == DataRowRow.id)
        .where(DataRowRow.project_id == project.id, DataRowRow.global_key.in_(keys))
    )
    return {
        key: StoredDataRow(row_id, metadata, uri, sha256 if uri is None else None)
        for key, row_id, metadata, uri, sha256 in found
    }


async def list_data_rows(
    session: AsyncSession, wanted: DataRowFilter, after: UUID | None, limit: int
) -> list[RowAndContent]:
    rows = _with_content().where(DataRowRow.project_id == wanted.project_id)
    if wanted.global_key is not None:
        rows = rows.where(DataRowRow.global_key == wanted.global_key)
    if wanted.batch_id is not None:
        rows = rows.where(
            exists().where(BatchDataRowRow.batch_id == wanted.batch_id, BatchDataRowRow.data_row_id == DataRowRow.id)
        )
    if after is not None:
        rows = rows.where(DataRowRow.id > after)
    found = await session.execute(rows.order_by(DataRowRow.id).limit(limit))
    return [(row, content) for row, content in found]


async def find_data_row(session: AsyncSession, workspace_id: UUID, data_row_id: UUID) -> RowAndContent | None:
    """None as well when its project was deleted."""
    found = await session.execute(
        _with_content()
        .join(ProjectRow, ProjectRow.id == DataRowRow.project_id)
        .where(DataRowRow.workspace_id == workspace_id, DataRowRow.id == data_row_id, ProjectRow.deleted_at.is_(None))
    )
    row = found.one_or_none()
    return (row[0], row[1]) if row else None


async def insert_batch(session: AsyncSession, row: BatchRow) -> bool:
    """False when the name is taken."""
    found = await session.scalar(
        insert(BatchRow)
        .values(
            id=row.id,
            workspace_id=row.workspace_id,
            project_id=row.project_id,
            name=row.name,
            priority=row.priority,
            size=0,
        )
        .on_conflict_do_nothing(index_elements=[BatchRow.project_id, BatchRow.name])
        .returning(BatchRow.id)
    )
    return found is not None


async def fill_batch(session: AsyncSession, batch: BatchRow, ids: Sequence[UUID] | None) -> int:
    """With these data rows, or with all of the project; says how many."""
    wanted: dict[str, object] = {"batch_id": batch.id, "project_id": batch.project_id}
    statement = _INSERT_ALL
    if ids is not None:
        statement, wanted = _INSERT_IDS, {**wanted, "ids": list(ids)}
    await session.execute(statement, wanted)
    size = select(func.count()).select_from(BatchDataRowRow).where(BatchDataRowRow.batch_id == batch.id)
    return int((await session.execute(size)).scalar_one())


async def find_unknown_ids(session: AsyncSession, project: ProjectRow, ids: Sequence[UUID], limit: int) -> list[int]:
    """Places in `ids` of those the project does not have."""
    found = await session.scalars(_UNKNOWN_IDS, {"ids": list(ids), "project_id": project.id, "limit": limit})
    return list(found)


async def list_batches(session: AsyncSession, project_id: UUID, after: UUID | None, limit: int) -> list[BatchRow]:
    wanted = select(BatchRow).where(BatchRow.project_id == project_id)
    if after is not None:
        wanted = wanted.where(BatchRow.id > after)
    return list(await session.scalars(wanted.order_by(BatchRow.id).limit(limit)))


async def find_batch(session: AsyncSession, workspace_id: UUID, batch_id: UUID) -> BatchRow | None:
    return await session.scalar(
        select(BatchRow)
        .join(ProjectRow, ProjectRow.id == BatchRow.project_id)
        .where(BatchRow.workspace_id == workspace_id, BatchRow.id == batch_id, ProjectRow.deleted_at.is_(None))
    )


async def _insert_contents(session: AsyncSession, project: ProjectRow, rows: Sequence[NewDataRow]) -> None:
    now = await session.scalar(select(func.now())) if any(row.facts for row in rows) else None
    driver = await driver_of(session)
    records = [(row.id, project.workspace_id, row.uri, row.text, *_facts(row.facts, now)) for row in rows]
    await driver.copy_records_to_table("data_row_contents", records=records, columns=_CONTENTS)


def _facts(facts: ContentFacts | None, now: datetime | None) -> tuple[Any, ...]:
    if facts is None:
        return _UNREAD
    size = (facts.byte_size, facts.width, facts.height, facts.length)
    return (facts.mime_type, facts.sha256, *size, now)


def _with_content() -> Select[DataRowRow, DataRowContentRow]:
    return select(DataRowRow, DataRowContentRow).join(DataRowContentRow, DataRowContentRow.data_row_id == DataRowRow.id)
