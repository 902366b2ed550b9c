"""Ends in the middle: an api that is killed during an upload, clients that leave during an export."""

import asyncio
import os
import socket
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select, text

from deploy.local.stack import ROOT
from services.api.access.principal import Role
from services.api.exchange.imports.sweep import sweep
from shared.database.tables import ModelRunRow, OperationRow
from tests.integration.api.imports import box, imported, lines
from tests.integration.api.stage import Stage, make_stage
from tests.integration.api.test_api_streaming import chunk, connection, head, port
from tests.support.api import Api, Workspace, api_settings

__all__ = ["port"]

pytestmark = pytest.mark.asyncio

_LABELS = 200_000


async def test_an_api_that_is_killed_during_an_upload_leaves_nothing_behind(
    api: Api, workspace: Workspace, api_servers: tuple[str, str], tmp_path: Path
) -> None:
    stage = await make_stage(api, workspace)
    content = lines([box("000.jpg", "Person", uuid=str(n)) for n in range(60_000)])
    path = f"/v1/projects/{stage.project}/predictions/import?format=labelbox&source=ours"
    number = _free_port()
    process = await _api(api_servers, tmp_path / "objects", number)
    try:
        await _until_it_serves(number)
        async with connection(number) as (_, writer):
            writer.write(head(path, workspace.keys[Role.EDITOR]) + chunk(content))
            await writer.drain()
            while not _files(tmp_path):
                await asyncio.sleep(0.02)
            process.kill()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert _files(tmp_path), "it was killed in the middle"
    assert await _begun(stage) == 0
    assert await sweep(api.resources.store, timedelta(days=1)) == 0
    assert _files(tmp_path), "what may still be written is left alone"
    await sweep(api.resources.store, timedelta(0))
    assert _files(tmp_path) == []
    few = lines([box("000.jpg", "Person", uuid=str(n)) for n in range(10)])
    _, ended = await imported(stage, "predictions", few, source="ours")
    assert (ended["state"], ended["result"]["created"]) == ("succeeded", 10)


async def test_a_client_that_leaves_during_an_export_holds_nothing(api: Api, workspace: Workspace, port: int) -> None:
    stage = await make_stage(api, workspace)
    await _add_labels(stage)
    for format in ("prelabel", "coco", "yolo", "cvat"):
        path = f"/v1/projects/{stage.project}/export?format={format}"
        async with connection(port) as (reader, writer):
            key = workspace.keys[Role.EDITOR]
            writer.write(f"GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
            assert b" 200 OK" in await reader.readline()
            await reader.readexactly(100)
            assert api.resources.exports.taken == 1, format
        async with asyncio.timeout(30):
            while api.resources.exports.taken or await _in_snapshots(stage):
                await asyncio.sleep(0.05)
    answer = await stage.client.get(f"/v1/projects/{stage.project}/export/report")
    assert answer.json()["labels"] == _LABELS


async def _begun(stage: Stage) -> int:
    async with stage.api.resources.sessions() as session:
        operations = select(func.count()).where(OperationRow.project_id == UUID(stage.project))
        runs = select(func.count()).where(ModelRunRow.project_id == UUID(stage.project))
        return (await session.scalar(operations) or 0) + (await session.scalar(runs) or 0)


async def _in_snapshots(stage: Stage) -> int:
    """Connections that a transaction of an export keeps."""
    async with stage.api.resources.sessions() as session:
        found = text("""
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
        """)
        return await session.scalar(found) or 0


async def _add_labels(stage: Stage) -> None:
    """So many that no socket holds them."""
    async with stage.api.resources.sessions.begin() as session:
        await session.execute(
            text("""
                INSERT INTO labels
                    (id, workspace_id, project_id, data_row_id, feature_schema_id, annotation, provenance, created_by)
                SELECT gen_random_uuid(), :workspace, :project, (CAST(:rows AS uuid[]))[1 + n % 5], :feature,
                       '{"kind": "bounding_box", "left": 1, "top": 2, "width": 3, "height": 4}',
                       '{"source": "hand"}', :member
                FROM generate_series(1, :labels) n
            """),
            {
                "workspace": stage.workspace.id,
                "project": stage.project,
                "rows": list(stage.rows),
                "feature": stage.features["Person"],
                "member": stage.workspace.members[Role.EDITOR],
                "labels": _LABELS,
            },
        )
        await session.execute(
            text(
                "UPDATE data_row_contents SET width = 100, height = 100 WHERE data_row_id = ANY(CAST(:rows AS uuid[]))"
            ),
            {"rows": list(stage.rows)},
        )


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "objects" / "exchange").rglob("*") if path.is_file()]


async def _api(servers: tuple[str, str], objects: Path, number: int) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "DATABASE_URL": servers[0],
        "REDIS_URL": servers[1],
        "OBJECT_STORE_URL": f"file://{objects}",
        "SECRET_KEY": api_settings(*servers, objects).secret_key.get_secret_value(),
        "API_PORT": str(number),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.api", env=environment, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )


async def _until_it_serves(number: int) -> None:
    async with asyncio.timeout(60), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{number}") as client:
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
