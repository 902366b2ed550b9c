"""Projects: what is read and written. Each query filters by workspace; deleted projects are not found."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, and_, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.annotations import FeatureType
from shared.contracts.events import TERMINAL_STATES
from shared.database.tables import (
    BatchRow,
    CatalogModelRow,
    DataRowRow,
    FeatureSchemaRow,
    ModelRunRow,
    OntologyRow,
    ProjectRow,
)
from shared.errors import NotFound
from shared.ontology import FeatureSchema, NodeWord

_ROWS_A_STATEMENT = 1000


async def get_project(session: AsyncSession, workspace_id: UUID, project_id: UUID) -> ProjectRow:
    """Raises NotFound for one of another workspace and for a deleted one."""
    return _found(await session.scalar(_project(workspace_id, project_id)))


async def lock_project(session: AsyncSession, workspace_id: UUID, project_id: UUID) -> ProjectRow:
    """For whoever changes it. Take it before any segment or run."""
    return _found(await session.scalar(_project(workspace_id, project_id).with_for_update()))


async def hold_project(session: AsyncSession, workspace_id: UUID, project_id: UUID) -> ProjectRow:
    """For whoever adds to it: until commit it is not deleted, and its ontology stays as it is."""
    return _found(await session.scalar(_project(workspace_id, project_id).with_for_update(read=True)))


async def list_projects(session: AsyncSession, workspace_id: UUID, after: UUID | None, limit: int) -> list[ProjectRow]:
    wanted = select(ProjectRow).where(ProjectRow.workspace_id == workspace_id, ProjectRow.deleted_at.is_(None))
    if after is not None:
        wanted = wanted.where(ProjectRow.id > after)
    return list(await session.scalars(wanted.order_by(ProjectRow.id).limit(limit)))


async def find_ontology(session: AsyncSession, project: ProjectRow, version: int | None = None) -> OntologyRow | None:
    """The newest version, or the one asked for."""
    wanted = project.ontology_version if version is None else version
    return await session.scalar(
        select(OntologyRow).where(
            OntologyRow.workspace_id == project.workspace_id,
            OntologyRow.project_id == project.id,
            OntologyRow.version == wanted,
        )
    )


async def list_features(session: AsyncSession, project: ProjectRow) -> list[FeatureSchemaRow]:
    """Every node any version of the project's ontology had."""
    return list(await session.scalars(select(FeatureSchemaRow).where(FeatureSchemaRow.project_id == project.id)))


def feature_of(row: FeatureSchemaRow) -> FeatureSchema:
    """As the checks of `shared.ontology` know it. Where it stood in its tree they do not ask."""
    node: NodeWord = row.node  # type: ignore[assignment]
    kind = FeatureType(row.type) if row.type else None
    return FeatureSchema(row.id, node, kind, row.name, row.parent_id, pointer="", depth=0)


async def store_features(
    session: AsyncSession, project: ProjectRow, features: Sequence[FeatureSchema], version: int
) -> None:
    """Add the new nodes and rename the known ones."""
    statement = insert(FeatureSchemaRow)
    statement = statement.on_conflict_do_update(
        index_elements=[FeatureSchemaRow.id],
        set_={"name": statement.excluded.name, "removed_in_version": None},
    )
    rows = [
        {
            "id": feature.id,
            "workspace_id": project.workspace_id,
            "project_id": project.id,
            "parent_id": feature.parent_id,
            "node": feature.node,
            "type": feature.type.value if feature.type else None,
            "name": feature.name,
            "added_in_version": version,
        }
        for feature in features
    ]
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        await session.execute(statement.values(rows[start : start + _ROWS_A_STATEMENT]))


async def list_open_runs(session: AsyncSession, project: ProjectRow) -> list[ModelRunRow]:
    """Those that have not ended, previews and imports included."""
    found = await session.scalars(
        select(ModelRunRow)
        .where(ModelRunRow.project_id == project.id, ModelRunRow.state.not_in(TERMINAL_STATES))
        .order_by(ModelRunRow.id)
    )
    return list(found)


async def has_data_rows(session: AsyncSession, project: ProjectRow) -> bool:
    return await _exists(session, select(DataRowRow.id).where(DataRowRow.project_id == project.id))


async def has_batch(session: AsyncSession, project: ProjectRow) -> bool:
    return await _exists(session, select(BatchRow.id).where(and_(BatchRow.project_id == project.id, BatchRow.size > 0)))


async def list_model_kinds(session: AsyncSession, project: ProjectRow) -> list[tuple[str, str]]:
    """State and annotation kind of every catalog model of the project's media type."""
    found = await session.execute(
        select(CatalogModelRow.state, CatalogModelRow.card["annotation_kind"].astext)
        .where(
            CatalogModelRow.media_type == project.media_type,
            CatalogModelRow.workspace_id.is_(None) | (CatalogModelRow.workspace_id == project.workspace_id),
        )
        .distinct()
    )
    return [(state, kind) for state, kind in found]


def _project(workspace_id: UUID, project_id: UUID) -> Select[ProjectRow]:
    return select(ProjectRow).where(
        ProjectRow.workspace_id == workspace_id, ProjectRow.id == project_id, ProjectRow.deleted_at.is_(None)
    )


def _found(row: ProjectRow | None) -> ProjectRow:
    if row is None:
        raise NotFound()
    return row


async def _exists(session: AsyncSession, wanted: Select[UUID]) -> bool:
    return bool(await session.scalar(select(exists(wanted))))


async def touch(session: AsyncSession, project: ProjectRow) -> None:
    """The project changed: a new revision, hence another ETag."""
    project.revision += 1
    project.updated_at = (await session.execute(select(func.clock_timestamp()))).scalar_one()
