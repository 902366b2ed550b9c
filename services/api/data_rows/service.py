"""Import data rows. Repeating an import is harmless: what is there already is `unchanged`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.data_rows import queries
from services.api.data_rows.candidates import Candidate, Intake, refusal
from services.api.data_rows.objects import note_unused, use_objects
from services.api.data_rows.queries import NewDataRow, RowAndContent, StoredDataRow
from services.api.data_rows.schemas import BatchCreate, LineError, LineResult
from services.api.projects.queries import hold_project
from shared.contracts.events import BatchCreated, DataRowsImported
from shared.database.tables import BatchRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, FieldError, NotFound, Unprocessable
from shared.ids import new_id

_MAX_LISTED = 100


async def import_data_rows(
    work: UnitOfWork, intake: Intake, lines: Sequence[Candidate | LineResult]
) -> list[LineResult]:
    """Store what may be stored, in one statement, and say what became of every line, in order."""
    project = intake.project
    # Again in each transaction of a stream: the project may be deleted while it runs.
    await hold_project(work.session, project.workspace_id, project.id)
    first: dict[str, NewDataRow] = {}
    for line in lines:
        if isinstance(line, Candidate):
            first.setdefault(line.row.global_key, line.row)
    await use_objects(work.session, intake.store, [row.uri for row in first.values() if row.uri])
    created = await queries.insert_data_rows(work.session, project, list(first.values())) if first else set()
    taken = [key for key, row in first.items() if row.id not in created]
    stored = await queries.find_by_global_key(work.session, project, taken) if taken else {}
    if len(first) < len(lines):  # one key may stand there twice
        stored |= {key: _as_stored(row) for key, row in first.items() if row.id in created}
    if created:
        work.emit(DataRowsImported(workspace_id=project.workspace_id, project_id=project.id, created=len(created)))
    results = [line if isinstance(line, LineResult) else _result(line, stored, created) for line in lines]
    refused = [
        line.row.uri
        for line, result in zip(lines, results, strict=True)
        if isinstance(line, Candidate) and line.row.uri and result.id is None
    ]
    await note_unused(work.session, project.workspace_id, refused)
    return results


async def get_data_row(session: AsyncSession, principal: Principal, data_row_id: UUID) -> RowAndContent:
    found = await queries.find_data_row(session, principal.workspace_id, data_row_id)
    if found is None:
        raise NotFound()
    return found


async def create_batch(work: UnitOfWork, principal: Principal, project_id: UUID, wanted: BatchCreate) -> BatchRow:
    project = await hold_project(work.session, principal.workspace_id, project_id)
    if wanted.data_row_ids is not None:
        await _check_known(work.session, project, wanted.data_row_ids)
    row = BatchRow(
        id=new_id(),
        workspace_id=project.workspace_id,
        project_id=project.id,
        name=wanted.name,
        priority=wanted.priority,
    )
    if not await queries.insert_batch(work.session, row):
        raise Conflict(f"the project has a batch named {wanted.name!r} already", code="name_taken")
    size = await queries.fill_batch(work.session, row, wanted.data_row_ids)
    if size == 0:
        raise Unprocessable("the project has no data rows yet", code="no_data_rows")
    stored = await queries.find_batch(work.session, project.workspace_id, row.id)
    if stored is None:
        raise LookupError(f"batch {row.id} vanished in its own transaction")
    stored.size = size
    work.emit(
        BatchCreated(
            workspace_id=project.workspace_id, project_id=project.id, batch_id=row.id, name=row.name, size=size
        )
    )
    return stored


async def get_batch(session: AsyncSession, principal: Principal, batch_id: UUID) -> BatchRow:
    found = await queries.find_batch(session, principal.workspace_id, batch_id)
    if found is None:
        raise NotFound()
    return found


async def _check_known(session: AsyncSession, project: ProjectRow, ids: Sequence[UUID]) -> None:
    unknown = await queries.find_unknown_ids(session, project, ids, _MAX_LISTED)
    if unknown:
        raise Unprocessable(
            "some data rows are not of this project",
            errors=[
                FieldError(f"/data_row_ids/{place}", "unknown_data_row", "the project has no such data row")
                for place in unknown
            ],
        )


def _as_stored(row: NewDataRow) -> StoredDataRow:
    return StoredDataRow(row.id, row.metadata, row.uri, row.facts.sha256 if row.facts and row.uri is None else None)


def _exact(value: Any) -> Any:
    """With numbers by their value: PostgreSQL gives 1e23 back as an integer."""
    if isinstance(value, dict):
        return {name: _exact(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_exact(child) for child in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return Decimal(repr(value))


def _result(line: Candidate, stored: dict[str, StoredDataRow], created: set[UUID]) -> LineResult:
    if line.row.id in created:
        return LineResult(line=line.line, global_key=line.row.global_key, status="created", id=line.row.id)
    wanted, present = _as_stored(line.row), stored[line.row.global_key]
    same = (wanted.uri, wanted.text_sha256) == (present.uri, present.text_sha256)
    if same and _exact(wanted.metadata) == _exact(present.metadata):
        return LineResult(line=line.line, global_key=line.row.global_key, status="unchanged", id=present.id)
    detail = "the project has a data row of this global_key with other content or metadata"
    taken = LineError(code="global_key_taken", detail=detail, pointer="/global_key")
    return refusal(line.line, line.row.global_key, taken)
