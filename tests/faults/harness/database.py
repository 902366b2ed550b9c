"""What the tables hold when a world is quiet, as plain values for the checker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from shared.contracts.events import NOTIFYING_TYPES

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Stream:
    id: str
    epoch: str
    first_offset: int
    last_offset: int
    events: Sequence[Row] = ()
    """`offset`, `type`, `subject_id`, `payload` (parsed), `occurred_at`."""


@dataclass(frozen=True)
class Run:
    """A run or a preview with all that belongs to it."""

    id: str
    project_id: str
    state: str
    execution: int
    row: Row
    segments: Sequence[Row] = ()
    outcomes: Sequence[Row] = ()
    detections: Sequence[Row] = ()
    projections: Sequence[Row] = ()
    ledger: Sequence[Row] = ()
    stores: Sequence[Row] = ()
    """The audit: who stored how many outcomes for which segment, and who held that segment then."""

    @property
    def rows(self) -> list[str]:
        """The data rows the run is about, as its first execution cut them."""
        return [str(row) for segment in self.segments if segment["execution"] == 1 for row in segment["data_row_ids"]]


@dataclass(frozen=True)
class Database:
    streams: Mapping[str, Stream]
    runs: Mapping[str, Run]
    data_rows: Mapping[str, Row]
    workspace_id: str

    def followed(self, topic: str) -> Stream | None:
        """The stream a topic is about."""
        kind, _, subject = topic.partition(":")
        if kind == "notifications":
            return self.streams[self.workspace_id]
        if kind == "project":
            return self.streams.get(subject)
        run = self.runs.get(subject)
        return self.streams[run.project_id] if run else None

    def wanted(self, topic: str) -> Mapping[int, Row]:
        """The events of a topic, by offset."""
        kind, _, subject = topic.partition(":")
        stream = self.followed(topic)
        return {
            event["offset"]: event
            for event in (stream.events if stream else ())
            if kind == "project"
            or (kind == "notifications" and event["type"] in NOTIFYING_TYPES)
            or str(event["subject_id"]) == subject
        }


_RUNS = """
    SELECT r.*, m.slug AS model_slug, m.digest FROM model_runs r
    LEFT JOIN catalog_models m ON m.id = r.catalog_model_id
    WHERE r.workspace_id = $1 ORDER BY r.id
"""
_DATA_ROWS = """
    SELECT r.id, r.project_id, r.global_key, c.text
    FROM data_rows r JOIN data_row_contents c ON c.data_row_id = r.id
    WHERE r.workspace_id = $1
"""


async def read_database(url: str, workspace_id: UUID) -> Database:
    """All of a workspace, in one moment."""
    connection = await asyncpg.connect(url)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_text, decoder=orjson.loads)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _read(connection, workspace_id)
    finally:
        await connection.close()


async def _read(connection: "asyncpg.Connection[asyncpg.Record]", workspace_id: UUID) -> Database:
    async def by(column: str, table: str, order: str) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        statement = f"SELECT * FROM {table} WHERE workspace_id = $1 ORDER BY {order}"
        for row in await connection.fetch(statement, workspace_id):
            found.setdefault(str(row[column]), []).append(dict(row))
        return found

    events = await by("stream_id", "events", 'stream_id, "offset"')
    parts = {
        "segments": await by("model_run_id", "segments", "model_run_id, execution, ordinal"),
        "outcomes": await by("model_run_id", "row_outcomes", "model_run_id, data_row_id"),
        "detections": await by("model_run_id", "detections", "model_run_id, data_row_id, ordinal"),
        "projections": await by("model_run_id", "row_projections", "model_run_id, data_row_id"),
        "ledger": await by("model_run_id", "ledger_counts", "model_run_id, model_class, reason"),
        "stores": await by("model_run_id", "audit.stores", "at"),
    }
    streams = {
        str(row["id"]): Stream(
            id=str(row["id"]),
            epoch=str(row["epoch"]),
            first_offset=row["first_offset"],
            last_offset=row["last_offset"],
            events=[{**one, "payload": orjson.loads(one["payload"])} for one in events.get(str(row["id"]), ())],
        )
        for row in await connection.fetch("SELECT * FROM streams WHERE workspace_id = $1", workspace_id)
    }
    runs = {
        str(row["id"]): Run(
            id=str(row["id"]),
            project_id=str(row["project_id"]),
            state=row["state"],
            execution=row["execution"],
            row=dict(row),
            **{name: found.get(str(row["id"]), ()) for name, found in parts.items()},
        )
        for row in await connection.fetch(_RUNS, workspace_id)
    }
    data_rows = await connection.fetch(_DATA_ROWS, workspace_id)
    return Database(
        streams,
        runs,
        {str(row["id"]): dict(row) for row in data_rows},
        str(workspace_id),
    )


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
