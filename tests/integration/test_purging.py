"""What was deleted long ago goes for good, with everything that is its; everybody else's stays."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from deploy.local.stack import Addresses
from services.api.access.principal import Role
from services.api.purging import PURGED_TABLES, Purge, owner_of, purge, purge_projects, remove_old_previews
from shared.database.tables import Base, ModelRunRow
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, api_settings, running_api

_KEEP = Purge(timedelta(days=30), timedelta(days=30), page_size=3, pages=10_000)


@pytest.fixture
async def api(servers: Addresses, database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """On a database of its own: these tests count what is in the tables."""
    async with running_api(api_settings(database_url, servers.redis_url, tmp_path / "objects")) as found:
        yield found


async def _reviewed(api: Api, name: str) -> Stage:
    """A project with a finished run, a preview, decisions and labels."""
    stage = await make_stage(api, await api.workspace(name), rows=8)
    run_id = await stage.finished({place: [("person", 0.9)] for place in range(8)})
    (one, *_) = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    labeler = api.as_(stage.workspace, Role.LABELER)
    decided = await labeler.post(
        f"/v1/data-rows/{one['data_row_id']}/decisions",
        json={"decisions": [{"pre_label_id": one["id"], "action": "accept"}]},
        headers={"If-Match": '"0"'},
    )
    assert decided.is_success, decided.text
    batch = await stage.client.post(f"/v1/projects/{stage.project}/batches", json={"name": "all", "all": True})
    assert batch.is_success, batch.text
    return stage


async def test_a_project_deleted_long_ago_leaves_nothing(api: Api) -> None:
    gone, kept = await _reviewed(api, "gone"), await _reviewed(api, "kept")
    before = await _rows_of(api, kept.project)
    assert (await gone.client.delete(f"/v1/projects/{gone.project}")).is_success
    assert await purge_projects(api.resources.sessions, _KEEP) == 0, "not before its time"
    await _age(api, "UPDATE projects SET deleted_at = now() - interval '31 days' WHERE id = :id", gone.project)
    filled = {name for name, rows in (await _rows_of(api, gone.project)).items() if rows}
    assert {"data_rows", "detections", "row_outcomes", "labels", "decisions", "events", "alignments"} <= filled
    assert await purge_projects(api.resources.sessions, _KEEP) > 0
    assert {name: rows for name, rows in (await _rows_of(api, gone.project)).items() if rows} == {}
    async with api.resources.sessions() as session:
        for name in ("row_outcomes", "detections", "data_row_contents"):
            assert await session.scalar(_count(Base.metadata.tables[name])) == 8, "those of the other project"
    assert await _rows_of(api, kept.project) == before
    assert await purge_projects(api.resources.sessions, _KEEP) == 0


async def test_a_round_has_an_end_and_the_next_goes_on(api: Api) -> None:
    stage = await _reviewed(api, "large")
    await stage.client.delete(f"/v1/projects/{stage.project}")
    await _age(api, "UPDATE projects SET deleted_at = now() - interval '31 days' WHERE id = :id", stage.project)
    small = Purge(_KEEP.deleted_kept, _KEEP.previews_kept, page_size=2, pages=3)
    rounds = []
    while went := await purge_projects(api.resources.sessions, small):
        rounds.append(went)
        assert went <= 6
    assert len(rounds) > 5
    assert sum((await _rows_of(api, stage.project)).values()) == 0


async def test_while_another_purges_nothing_is_done(api: Api) -> None:
    stage = await make_stage(api, await api.workspace(), rows=3)
    await stage.client.delete(f"/v1/projects/{stage.project}")
    await _age(api, "UPDATE projects SET deleted_at = now() - interval '31 days' WHERE id = :id", stage.project)
    async with api.resources.sessions.begin() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('purge', 0))"))
        assert await purge_projects(api.resources.sessions, _KEEP) == 0
    assert await purge_projects(api.resources.sessions, _KEEP) > 0


async def test_old_previews_go_with_their_event_and_young_ones_stay(api: Api) -> None:
    stage = await make_stage(api, await api.workspace(), rows=5)
    old, young = [await _ended_preview(stage) for _ in range(2)]
    await _age(api, "UPDATE model_runs SET finished_at = now() - interval '31 days' WHERE id = :id", old)
    assert await remove_old_previews(api.resources.sessions, api.resources.signals, _KEEP) == 1
    async with api.resources.sessions() as session:
        assert list(await session.scalars(select(ModelRunRow.id))) == [UUID(young)]
    events = (await stage.get(f"/v1/projects/{stage.project}/events", after=0))["items"]
    deleted = [one["event"]["subject"]["id"] for one in events if one["event"]["type"] == "preview.deleted"]
    assert deleted == [old]
    assert await remove_old_previews(api.resources.sessions, api.resources.signals, _KEEP) == 0


async def test_a_round_removes_dead_processes_and_measures_the_database(api: Api) -> None:
    async with api.resources.sessions.begin() as session:
        await session.execute(
            text("""
                INSERT INTO processes (id, service, name, version, heartbeat_at) VALUES
                (gen_random_uuid(), 'api', 'dead:1', '0', now() - interval '2 hours'),
                (gen_random_uuid(), 'api', 'alive:1', '0', now())
            """)
        )
    await purge(api.resources.sessions, api.resources.signals, _KEEP)
    async with api.resources.sessions() as session:
        names = set(await session.scalars(text("SELECT name FROM processes")))
    assert "alive:1" in names
    assert "dead:1" not in names
    assert (REGISTRY.get_sample_value("prelabel_operations_database_bytes") or 0) > 1_000_000


async def _ended_preview(stage: Stage) -> str:
    answer = await stage.client.post(f"/v1/projects/{stage.project}/previews", json=stage.body(sample={"size": 2}))
    assert answer.status_code == 202, answer.text
    await stage.worker.end(UUID(answer.json()["id"]))
    return str(answer.json()["id"])


async def _age(api: Api, statement: str, of: str) -> None:
    async with api.resources.sessions.begin() as session:
        await session.execute(text(statement), {"id": of})


async def _rows_of(api: Api, project: str) -> dict[str, int]:
    """How many rows of each table are the project's, by its id wherever that stands."""
    async with api.resources.sessions() as session:
        return {table.name: await _rows(session, table, project) for table in PURGED_TABLES}


async def _rows(session: AsyncSession, table: Table, project: str) -> int:
    owned = owner_of(table)
    assert owned is not None
    return int(await session.scalar(_count(table).where(owned(table, UUID(project)))) or 0)


def _count(table: Table) -> Any:
    return select(func.count()).select_from(table)
