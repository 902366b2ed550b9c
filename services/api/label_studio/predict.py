"""Answering `/predict`: tasks to data rows, a preview on them, its pre-labels as regions; then the preview goes."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.api.access.principal import Principal
from services.api.data_rows.candidates import Intake, of_item
from services.api.data_rows.schemas import LineResult
from services.api.data_rows.service import import_data_rows
from services.api.label_studio import queries, service
from services.api.label_studio.regions import RegionWriter
from services.api.label_studio.schemas import (
    LabelStudioFailure,
    LabelStudioPredict,
    LabelStudioPrediction,
    LabelStudioPredictions,
    LabelStudioTask,
)
from services.api.label_studio.service import Backend
from services.api.model_runs.pre_labels import PreLabelFilter, list_pre_labels
from services.api.model_runs.schemas import PreLabel
from services.api.previews.create import create_preview
from services.api.previews.remove import remove_preview
from services.api.previews.schemas import PreviewCreate, SampleCreate
from services.api.resources import OpenWork
from shared.contracts.events import TERMINAL_STATES
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.egress import Egress
from shared.errors import FieldError, Unavailable, Unprocessable
from shared.label_studio.regions import Frame
from shared.object_store import ObjectStore

# Label Studio itself waits 100 seconds.
_SECONDS = 85
_LOOK_SECONDS = 0.2
_MORE_PREVIEWS = 32
"""How many predictions may be under way beside the previews that a project keeps, so that none of those must go."""
_PRE_LABELS_AT_ONCE = 1000
_LISTED = 20


@dataclass(frozen=True, slots=True)
class _Tasks:
    """By place: the data row of each task, or why it has none."""

    rows: Mapping[int, UUID]
    failures: Mapping[int, LabelStudioFailure]


@dataclass(frozen=True, slots=True)
class _Found:
    shown: Mapping[UUID, Sequence[PreLabel]]
    frames: Mapping[UUID, Frame]
    failures: Mapping[UUID, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Predict:
    works: OpenWork
    egress: Egress
    store: ObjectStore
    principal: Principal
    project_id: UUID
    previews_kept: int

    async def run(self, wanted: LabelStudioPredict) -> LabelStudioPredictions:
        """Raises Unprocessable when no task can be predicted, Unavailable when it takes too long."""
        async with self.works() as work:
            backend = await service.find_backend(
                work.session, self.principal, self.project_id, wanted.project, wanted.label_config
            )
            tasks = await self._take(work, backend, wanted)
        _raise_if_none(tasks.rows, tasks.failures.values())
        data_row_ids = list(dict.fromkeys(tasks.rows.values()))
        preview_id = await self._begin(backend, data_row_ids)
        try:
            found = await self._result(preview_id, data_row_ids)
        finally:
            await asyncio.shield(self._remove(preview_id))
        return _answer(backend, len(wanted.tasks), tasks, found)

    async def _take(self, work: UnitOfWork, backend: Backend, wanted: LabelStudioPredict) -> _Tasks:
        """Each task as a data row: the one its `global_key` names, or one of its own by its content."""
        project, field = backend.project, backend.config.shown.field
        intake = Intake(project, self.egress, self.store)
        own = [task.data.get("global_key") for task in wanted.tasks]
        known = await queries.find_by_keys(work.session, project, [key for key in own if isinstance(key, str)])
        rows = {place: known[key] for place, key in enumerate(own) if isinstance(key, str) and key in known}
        lines = [
            of_item(intake, place, _item(task, field, wanted.project, takes_text=intake.takes_text))
            for place, task in enumerate(wanted.tasks)
            if place not in rows
        ]
        failures = {}
        for result in await import_data_rows(work, intake, lines):
            place = result.line or 0
            if result.id is not None:
                rows[place] = result.id
            else:
                failures[place] = _refused(place, result, field)
        return _Tasks(rows, failures)

    async def _begin(self, backend: Backend, data_row_ids: Sequence[UUID]) -> UUID:
        sample = SampleCreate(data_row_ids=tuple(data_row_ids))
        wanted = PreviewCreate(
            model_id=backend.model.id, name="Label Studio", threshold=backend.threshold, sample=sample
        )
        async with self.works() as work:
            kept = self.previews_kept + _MORE_PREVIEWS
            preview = await create_preview(work, self.principal, self.project_id, wanted, kept)
            return preview.id

    async def _result(self, preview_id: UUID, data_row_ids: Sequence[UUID]) -> _Found:
        try:
            async with asyncio.timeout(_SECONDS):
                while True:
                    async with self.works() as work:
                        run = await queries.find_run(work.session, self.principal.workspace_id, preview_id)
                        if run is None or run.state in TERMINAL_STATES:
                            return await _read(work, run, data_row_ids)
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError as error:
            detail = f"the model had not answered after {_SECONDS} seconds; send fewer tasks at once"
            raise Unavailable(detail, code="prediction_timed_out") from error

    async def _remove(self, preview_id: UUID) -> None:
        async with self.works() as work:
            run = await queries.find_run(work.session, self.principal.workspace_id, preview_id)
            if run is not None:
                await remove_preview(work, run)


async def _read(work: UnitOfWork, run: ModelRunRow | None, data_row_ids: Sequence[UUID]) -> _Found:
    if run is None or run.state in {"failed", "cancelled"}:
        raise Unavailable(f"the model could not be asked: {run.state_reason if run else 'it was cancelled'}")
    shown: dict[UUID, list[PreLabel]] = {}
    after = None
    while True:
        page = await list_pre_labels(work.session, run, PreLabelFilter(), after, _PRE_LABELS_AT_ONCE)
        for pre_label in page.items:
            shown.setdefault(pre_label.data_row_id, []).append(pre_label)
        after = page.next_key
        if after is None:
            break
    failures = await queries.find_failures(work.session, run)
    frames = await queries.find_frames(work.session, run.workspace_id, data_row_ids)
    return _Found(shown, frames, failures)


def _item(task: LabelStudioTask, field: str, source: str, *, takes_text: bool) -> dict[str, Any]:
    content = task.data.get(field)
    digest = hashlib.sha256(repr(content).encode(errors="replace")).hexdigest()[:12]
    key = f"label-studio/{source}/{task.id}/{digest}"[:500]
    return {"global_key": key, "text" if takes_text else "uri": content}


def _refused(place: int, result: LineResult, field: str) -> LabelStudioFailure:
    error = result.error
    detail = f"data.{field}: {error.detail if error else 'not taken'}"
    return LabelStudioFailure(task=place, data_row_id=None, code=error.code if error else "refused", detail=detail)


def _raise_if_none(rows: Mapping[int, UUID], failures: Any) -> None:
    if rows:
        return
    errors = [FieldError(f"/tasks/{one.task}", one.code, one.detail) for one in failures][:_LISTED]
    raise Unprocessable("none of the tasks can be predicted", code="no_usable_task", errors=errors)


def _answer(backend: Backend, count: int, tasks: _Tasks, found: _Found) -> LabelStudioPredictions:
    writer = RegionWriter(backend.config, backend.vocabulary)
    results: list[list[LabelStudioPrediction]] = []
    failures = dict(tasks.failures)
    for place in range(count):
        row_id = tasks.rows.get(place)
        if row_id is not None and row_id in found.failures:
            code, detail = found.failures[row_id]
            failures[place] = LabelStudioFailure(task=place, data_row_id=row_id, code=code, detail=detail)
        if row_id is None or place in failures:
            results.append([])
            continue
        shown = found.shown.get(row_id, ())
        result = writer.regions(shown, found.frames.get(row_id, Frame()))
        score = min((one["score"] for one in result), default=None)
        results.append([LabelStudioPrediction(model_version=backend.model_version, score=score, result=result)])
    _raise_if_none({place: UUID(int=0) for place, one in enumerate(results) if one}, failures.values())
    listed = [failures[place] for place in sorted(failures)]
    return LabelStudioPredictions(results=results, failures=listed, dropped=dict(writer.dropped))
