"""Disk that 1,000,000 pre-labels take in PostgreSQL, with their indexes: 50,000 data rows with 20 boxes each.

Written by COPY, column by column as a worker does, into the tables of the newest migration; then vacuumed.
"""

import random
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson

from shared.ids import new_id
from tests.bench.measure import Measurement, machine
from tests.bench.stage import staged
from tests.support.stand_ins import answers_constant

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Record: TypeAlias = tuple[Any, ...]

_ROWS, _BOXES = 50_000, 20
_CLASSES = ("person", "bicycle", "car", "dog")
_TABLES = ("data_rows", "data_row_contents", "row_outcomes", "detections", "row_projections")


async def measure() -> Measurement:
    async with staged("disk", [answers_constant()]) as stage:
        connection = await asyncpg.connect(stage.stack.addresses.database_url)
        try:
            sizes = await _fill(connection)
        finally:
            await connection.close()
    for table, size in sizes.items():
        sys.stderr.write(f"  {table}: {size / 1e6:.0f} MB\n")
    return Measurement(
        name="disk",
        value=round(sum(sizes[table] for table in ("row_outcomes", "detections", "row_projections")) / 1e6),
        unit="MB for 1,000,000 pre-labels of 50,000 data rows",
        goal="none",
        ratio=None,
        spread=None,
        pairs=1,
        cpu_us_per_item=None,
        anchor="none",
        machine=machine(),
    )


async def _fill(connection: Connection) -> dict[str, int]:
    await connection.execute("SET session_replication_role = replica")  # the run and its project are not there
    rows = [new_id() for _ in range(_ROWS)]
    places = new_id(), new_id(), new_id()
    for table, columns, records in (_data_rows(rows, places), _contents(rows, places)):
        await connection.copy_records_to_table(table, records=records, columns=columns)
    for table, columns, records in (_outcomes(rows, places), _detections(rows, places), _projections(rows, places)):
        await connection.copy_records_to_table(table, records=records, columns=columns)
    for table in _TABLES:
        await connection.execute(f"VACUUM ANALYZE {table}")
    return {table: await _size(connection, table) for table in _TABLES}


_Places: TypeAlias = tuple[UUID, UUID, UUID]
"""Workspace, project and run."""
_Copied: TypeAlias = tuple[str, Sequence[str], Iterable[Record]]


def _data_rows(rows: Sequence[UUID], places: _Places) -> _Copied:
    workspace, project, _ = places
    records = ((row, workspace, project, f"batch-7/{place:08}.jpg") for place, row in enumerate(rows))
    return "data_rows", ("id", "workspace_id", "project_id", "global_key"), records


def _contents(rows: Sequence[UUID], places: _Places) -> _Copied:
    columns = ("data_row_id", "workspace_id", "uri", "mime_type", "sha256", "byte_size", "width", "height")
    records = (
        (row, places[0], f"https://images.example.org/{place:08}.jpg", "image/jpeg", _sha256(row), 250_000, 1920, 1080)
        for place, row in enumerate(rows)
    )
    return "data_row_contents", columns, records


def _outcomes(rows: Sequence[UUID], places: _Places) -> _Copied:
    workspace, _, run = places
    columns = ("model_run_id", "workspace_id", "segment_id", "execution", "data_row_id", "state", "attempts")
    timings: dict[str, float | str] = {
        "infer_ms": 18.42,
        "decode_ms": 2.15,
        "fetch_ms": 5.01,
        "prepare_ms": 9.87,
        "queue_ms": 3.3,
    }
    timings |= {"batch_rows": 32, "batch_id": run.hex, "worker": "inference-runs-5d9c7b6f4-x2x8k:1"}
    told = orjson.dumps(timings).decode()
    records = ((run, workspace, run, 1, row, "succeeded", 1, _BOXES, told, _sha256(row)) for row in rows)
    return "row_outcomes", (*columns, "detections", "timings", "fingerprint"), records


def _detections(rows: Sequence[UUID], places: _Places) -> _Copied:
    workspace, _, run = places
    columns = ("model_run_id", "workspace_id", "data_row_id", "ordinal", "model_class", "confidence", "area")
    records = (
        (run, workspace, row, ordinal, _CLASSES[ordinal % len(_CLASSES)], random.random(), 12_345.6, _box())
        for row in rows
        for ordinal in range(_BOXES)
    )
    return "detections", (*columns, "annotation"), records


def _projections(rows: Sequence[UUID], places: _Places) -> _Copied:
    workspace, _, run = places
    columns = ("model_run_id", "alignment_version", "data_row_id", "workspace_id", "shown", "uncertainty")
    return "row_projections", columns, ((run, 1, row, workspace, 12, random.random()) for row in rows)


def _sha256(row: UUID) -> bytes:
    return row.bytes + random.randbytes(16)


def _box() -> str:
    left, top, width, height = (round(random.uniform(1, 1000), 3) for _ in range(4))
    return orjson.dumps({"kind": "bounding_box", "left": left, "top": top, "width": width, "height": height}).decode()


async def _size(connection: Connection, table: str) -> int:
    """With its partitions, indexes and what is stored beside it."""
    whole = "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree($1::regclass)"
    alone = "SELECT pg_total_relation_size($1::regclass)"
    return int(await connection.fetchval(whole, table) or await connection.fetchval(alone, table))
