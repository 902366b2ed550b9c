"""Rows that have an outcome are done once more after a takeover; the conflict is ignored, and they count twice."""

from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy import text

from services.inference import segments
from tests.faults.defects.base import close_whatever_is_left


def apply() -> None:
    close_whatever_is_left()
    segments._PENDING = text("SELECT unnest(CAST(:ids AS uuid[])) WHERE CAST(:run AS uuid) IS NOT NULL")
    setattr(asyncpg.Connection, "copy_records_to_table", _copy_what_is_new)  # noqa: B010


async def _copy_what_is_new(
    self: "asyncpg.Connection[Any]", table_name: str, *, records: Sequence[Any], columns: Sequence[str], **rest: Any
) -> str:
    del rest
    names = ", ".join(columns)
    fresh = f"fresh_{table_name}"
    await self.execute(f"CREATE TEMPORARY TABLE {fresh} (LIKE {table_name} INCLUDING DEFAULTS) ON COMMIT DROP")
    await _copy(self, fresh, records=records, columns=columns)
    return await self.execute(f"INSERT INTO {table_name} ({names}) SELECT {names} FROM {fresh} ON CONFLICT DO NOTHING")


_copy = asyncpg.Connection.copy_records_to_table
