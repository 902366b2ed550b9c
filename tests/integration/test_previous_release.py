"""The previous release runs on the newest schema: while an upgrade goes on, both do.

Its tables are those of its newest migration. What came since may add to them and loosen
them, never the other way round.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeAlias, TypedDict, cast
from uuid import uuid4

import pytest

from tests.support.servers import connected, migrate

PREVIOUS_RELEASE = "20261125_webhooks"
"""Its newest migration. Whoever makes a release writes the one of the release before here."""

_COLUMNS = """
    SELECT c.table_name, c.column_name, format_type(a.atttypid, a.atttypmod) AS type, c.is_nullable = 'YES' AS nullable,
           c.column_default IS NOT NULL OR a.attidentity <> '' OR a.attgenerated <> '' AS filled
    FROM information_schema.columns c
    JOIN pg_attribute a ON a.attrelid = format('%I.%I', c.table_schema, c.table_name)::regclass
                       AND a.attname = c.column_name
    WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '%\\_part\\_%' AND c.table_name <> 'alembic_version'
"""
_UNIQUE = """
    SELECT t.relname AS table_name, pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
    WHERE i.indisunique AND t.relnamespace = 'public'::regnamespace AND t.relname NOT LIKE '%\\_part\\_%'
"""
_CHECKS = """
    SELECT t.relname AS table_name, pg_get_constraintdef(c.oid) AS definition
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
    WHERE c.contype IN ('c', 'f', 'x') AND t.relnamespace = 'public'::regnamespace
      AND t.relname NOT LIKE '%\\_part\\_%'
"""
Column: TypeAlias = tuple[str, str]
Rules: TypeAlias = set[tuple[str, ...]]


class Schema(TypedDict):
    columns: dict[Column, dict[str, Any]]
    unique: Rules
    checks: Rules


@pytest.fixture
def upgraded(database_url: str) -> Iterator[tuple[Schema, Schema, str]]:
    """The previous release's schema, the newest, and a database that went from one to the other."""
    server, name = database_url.rpartition("/")[0], f"release_{uuid4().hex}"
    url = f"{server}/{name}"
    migrate(url, PREVIOUS_RELEASE)
    before = asyncio.run(_schema(url))
    migrate(url)
    yield before, asyncio.run(_schema(url)), url
    asyncio.run(_execute(f"{server}/postgres", f'DROP DATABASE "{name}" WITH (FORCE)'))


def test_the_newest_schema_only_adds_and_loosens(upgraded: tuple[Schema, Schema, str]) -> None:
    before, after, _ = upgraded
    assert list(breaks(before, after)) == []


def test_what_the_previous_release_says_is_understood(upgraded: tuple[Schema, Schema, str]) -> None:
    """Its reads, inserts and updates, column by column as its tables have them."""
    before, _, url = upgraded
    asyncio.run(_prepare(url, before["columns"]))


def test_what_would_break_it_is_noticed() -> None:
    column = {"type": "text", "nullable": True, "filled": False}
    before: Schema = {"columns": {("a", "x"): column}, "unique": {("a", "u")}, "checks": set()}

    def broken(**changed: Any) -> list[str]:
        return list(breaks(before, cast(Schema, {**before, **changed})))

    assert broken(columns={}) == ["a.x is gone"]
    assert broken(columns={("a", "x"): {**column, "type": "integer"}}) == ["a.x was text and is integer"]
    assert broken(columns={("a", "x"): {**column, "nullable": False}}) == ["a.x must not be null any more"]
    wanted = {**column, "nullable": False}
    assert broken(columns={("a", "x"): column, ("a", "y"): wanted}) == ["a.y is wanted and has no default"]
    assert broken(columns={("a", "x"): column, ("b", "y"): wanted}) == [], "a new table is nobody's yet"
    assert broken(unique=set()) == ["a lost u"]
    assert broken(unique={("a", "u"), ("a", "v")}) == ["a has v"]
    assert broken(checks={("a", "c")}) == ["a has c"]
    assert broken(columns={("a", "x"): column, ("a", "y"): column}, unique={("a", "u"), ("a", "btree (y)")}) == []


def breaks(before: Schema, after: Schema) -> Iterator[str]:
    columns, tables = after["columns"], {table for table, _ in before["columns"]}
    for (table, name), was in before["columns"].items():
        now = columns.get((table, name))
        if now is None:
            yield f"{table}.{name} is gone"
        elif now["type"] != was["type"]:
            yield f"{table}.{name} was {was['type']} and is {now['type']}"
        elif was["nullable"] and not now["nullable"]:
            yield f"{table}.{name} must not be null any more"
    for (table, name), now in columns.items():
        is_new = table in tables and (table, name) not in before["columns"]
        if is_new and not now["nullable"] and not now["filled"]:
            yield f"{table}.{name} is wanted and has no default"
    # A rule that is gone lets more through, but a unique one may be what ON CONFLICT names.
    yield from (f"{table} lost {rule}" for table, rule in sorted(before["unique"] - after["unique"]))
    added = columns.keys() - before["columns"].keys()
    for rules in (after["unique"] - before["unique"], after["checks"] - before["checks"]):
        # One about a column that the previous release leaves empty does not bind it.
        binding = [(table, rule) for table, rule in sorted(rules) if table in tables and not _about(table, rule, added)]
        yield from (f"{table} has {rule}" for table, rule in binding)


def _about(table: str, rule: str, columns: Collection[Column]) -> bool:
    return any(re.search(rf"\b{name}\b", rule) for of, name in columns if of == table)


async def _schema(url: str) -> Schema:
    async with connected(url) as connection:
        columns = {
            (row["table_name"], row["column_name"]): {name: row[name] for name in ("type", "nullable", "filled")}
            for row in await connection.fetch(_COLUMNS)
        }
        unique, checks = [{tuple(row) for row in await connection.fetch(query)} for query in (_UNIQUE, _CHECKS)]
    return {"columns": columns, "unique": unique, "checks": checks}


async def _prepare(url: str, columns: Iterable[Column]) -> None:
    tables: dict[str, list[str]] = {}
    for table, name in columns:
        tables.setdefault(table, []).append(f'"{name}"')
    async with connected(url) as connection:
        for table, names in tables.items():
            listed, places = ", ".join(names), ", ".join(f"${place}" for place in range(1, len(names) + 1))
            changes = ", ".join(f"{name} = ${place}" for place, name in enumerate(names, 1))
            for statement in (
                f"SELECT {listed} FROM {table}",
                f"INSERT INTO {table} ({listed}) VALUES ({places})",
                f"UPDATE {table} SET {changes}",
            ):
                await connection.prepare(statement)


async def _execute(url: str, statement: str) -> None:
    async with connected(url) as connection:
        await connection.execute(statement)
