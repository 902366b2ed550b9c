"""A small world straight in the tables: for tests of a worker, where the gateway is not what is tested."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from shared.alignment import AlignmentEntry, Target
from shared.annotations import FeatureType
from shared.contracts.events import ModelRunQueued
from shared.database.alignments import add_alignment
from shared.database.engine import Sessions
from shared.database.event_log import append_events, create_stream
from shared.database.tables import (
    CatalogModelRow,
    DataRowContentRow,
    DataRowRow,
    DetectionRow,
    ModelRunRow,
    ProjectRow,
    RowOutcomeRow,
    SegmentRow,
    WorkspaceRow,
)
from shared.ids import new_id
from shared.model_card import BuiltModel
from shared.model_files import files_for_workers, model_file_key
from shared.object_store import ObjectStore, content_key
from shared.run_configuration import RunConfiguration
from tests.support.servers import MODELS


@dataclass(frozen=True)
class World:
    """One workspace with one project."""

    sessions: Sessions
    store: ObjectStore
    workspace_id: UUID
    project_id: UUID
    member_id: UUID

    async def add_stored(self, global_key: str, content: bytes) -> UUID:
        """A data row whose content lies in the object store; nobody has read its facts yet."""
        key = content_key(self.workspace_id, hashlib.sha256(content).hexdigest())
        return await self._add_row(global_key, uri=await self.store.put(key, content))

    async def add_image(self, global_key: str, content: bytes) -> UUID:
        return await self.add_stored(global_key, content)

    async def add_text(self, global_key: str, content: str) -> UUID:
        return await self._add_row(global_key, text=content)

    async def add_model(self, built: BuiltModel, state: str = "ready") -> UUID:
        for name in files_for_workers(built.card):
            content = (MODELS / "repository" / built.triton_name / "1" / name).read_bytes()
            await self.store.put(model_file_key(built.digest, name), content)
        async with self.sessions.begin() as session:
            card = built.card
            row = CatalogModelRow(
                slug=card.slug,
                name=card.name,
                version=card.version,
                digest=built.digest,
                media_type=card.media_type,
                task=card.task,
                card=card.model_dump(mode="json"),
                state=state,
            )
            session.add(row)
            await session.flush()
            return row.id

    async def start_run(
        self,
        built: BuiltModel,
        model_id: UUID,
        data_row_ids: Sequence[UUID],
        *,
        entries: Sequence[AlignmentEntry] = (),
        criteria: Mapping[str, str] | None = None,
        segment_size: int = 32,
        **frozen: Any,
    ) -> UUID:
        """A queued run, as a submit leaves it. Other values of its configuration by name."""
        run_id = new_id()
        configuration = RunConfiguration(
            catalog_model_id=model_id,
            digest=built.digest,
            triton_model=built.triton_name,
            card=built.card,
            ontology_version=1,
            criteria=dict(criteria or {}),
            **{"floor": built.card.floor, **frozen},
        )
        async with self.sessions.begin() as session:
            run = ModelRunRow(
                id=run_id,
                workspace_id=self.workspace_id,
                project_id=self.project_id,
                catalog_model_id=model_id,
                configuration=configuration.model_dump(mode="json"),
                alignment_version=1,
                total=len(data_row_ids),
                created_by=self.member_id,
            )
            session.add(run)
            await session.flush()
            add_alignment(session, run, entries, self.member_id)
            session.add_all(
                SegmentRow(
                    workspace_id=self.workspace_id,
                    project_id=self.project_id,
                    model_run_id=run_id,
                    execution=1,
                    ordinal=ordinal,
                    data_row_ids=list(data_row_ids[start : start + segment_size]),
                )
                for ordinal, start in enumerate(range(0, len(data_row_ids), segment_size))
            )
            await session.flush()
            queued = ModelRunQueued(
                workspace_id=self.workspace_id,
                project_id=self.project_id,
                model_run_id=run_id,
                state="queued",
                execution=1,
                total=len(data_row_ids),
                succeeded=0,
                failed=0,
                skipped=0,
                detections=0,
            )
            await append_events(session, [queued], "member:test")
        return run_id

    async def run(self, run_id: UUID) -> ModelRunRow:
        async with self.sessions() as session:
            return await session.get_one(ModelRunRow, run_id)

    async def outcomes(self, run_id: UUID) -> list[RowOutcomeRow]:
        async with self.sessions() as session:
            found = await session.scalars(
                select(RowOutcomeRow).where(RowOutcomeRow.model_run_id == run_id).order_by(RowOutcomeRow.data_row_id)
            )
            return list(found)

    async def detections(self, run_id: UUID) -> list[DetectionRow]:
        async with self.sessions() as session:
            found = await session.scalars(
                select(DetectionRow)
                .where(DetectionRow.model_run_id == run_id)
                .order_by(DetectionRow.data_row_id, DetectionRow.ordinal)
            )
            return list(found)

    async def segments(self, run_id: UUID) -> list[SegmentRow]:
        async with self.sessions() as session:
            found = await session.scalars(
                select(SegmentRow).where(SegmentRow.model_run_id == run_id).order_by(SegmentRow.ordinal)
            )
            return list(found)

    async def event_types(self) -> list[tuple[int, str]]:
        """Offsets and types of the project's stream, in order."""
        async with self.sessions() as session:
            found = await session.execute(
                text('SELECT "offset", type FROM events WHERE stream_id = :id ORDER BY "offset"'),
                {"id": self.project_id},
            )
            return [(offset, kind) for offset, kind in found]

    async def _add_row(self, global_key: str, *, uri: str | None = None, text: str | None = None) -> UUID:
        row_id = new_id()
        async with self.sessions.begin() as session:
            session.add(
                DataRowRow(id=row_id, workspace_id=self.workspace_id, project_id=self.project_id, global_key=global_key)
            )
            await session.flush()
            session.add(DataRowContentRow(data_row_id=row_id, workspace_id=self.workspace_id, uri=uri, text=text))
        return row_id


async def make_world(sessions: Sessions, store: ObjectStore, media_type: str = "image") -> World:
    workspace_id, project_id, member_id = new_id(), new_id(), new_id()
    async with sessions.begin() as session:
        session.add(WorkspaceRow(id=workspace_id, name="test"))
        await session.flush()
        session.add(ProjectRow(id=project_id, workspace_id=workspace_id, name="test", media_type=media_type))
        create_stream(session, workspace_id, workspace_id, "workspace")
        create_stream(session, project_id, workspace_id, "project")
    return World(sessions, store, workspace_id, project_id, member_id)


def built_models(folder: Path) -> dict[str, BuiltModel]:
    """Every built model by its slug."""
    built = [BuiltModel.model_validate_json(path.read_bytes()) for path in sorted((folder / "cards").glob("*.json"))]
    return {model.card.slug: model for model in built}


def entry(model_class: str, threshold: float, kind: FeatureType = FeatureType.BOUNDING_BOX) -> AlignmentEntry:
    """One class shown as a feature of its own."""
    return AlignmentEntry(
        model_class=model_class, target=Target(feature_schema_id=new_id()), target_type=kind, threshold=threshold
    )


__all__ = ["World", "built_models", "entry", "make_world"]
