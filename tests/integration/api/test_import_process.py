"""A worker's own process imports 200,000 predictions: it is killed in the middle, another one goes on, and its memory
does not follow the size of the upload."""

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from shared.database.tables import DetectionRow, RowOutcomeRow, RowProjectionRow
from tests.integration.api.imports import upload
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace
from tests.support.operations import worker_process

pytestmark = pytest.mark.asyncio

_SMALL, _LARGE, _A_ROW = 10_000, 200_000, 10
_MOST_GROWTH_MB, _MOST_MB = 96, 512


async def test_a_killed_worker_costs_nothing_and_memory_stays_flat(
    api: Api, workspace: Workspace, api_servers: tuple[str, str], tmp_path: Path
) -> None:
    stage = await make_stage(api, workspace)
    await _add_rows(stage, _LARGE // _A_ROW)
    environment = _environment(api_servers, tmp_path / "objects")
    async with worker_process(environment) as first:
        small = await _submit(stage, _SMALL)
        await _until(stage, small, lambda found: found["state"] == "succeeded")
        before = _peak_mb(first)
        large = await _submit(stage, _LARGE)
        await _until(stage, large, lambda found: found["progress"]["stage"] == "storing")
        peak = _peak_mb(first)
        first.kill()
        await first.wait()
    interrupted = await stage.get(f"/v1/operations/{large['operation_id']}")
    assert interrupted["state"] == "running", "it was killed before the end"
    async with worker_process(environment) as second:
        ended = await _until(stage, large, lambda found: found["state"] == "succeeded")
        peak = max(peak, _peak_mb(second))
    assert (ended["result"]["created"], ended["result"]["failed"]) == (_LARGE, 0)
    run = await stage.get(f"/v1/model-runs/{large['model_run_id']}")
    rows = _LARGE // _A_ROW
    assert (run["state"], run["total"], run["succeeded"], run["detections"]) == ("completed", rows, rows, _LARGE)
    assert await _stored(stage, large["model_run_id"]) == {"row_outcomes": rows, "detections": _LARGE, "shown": _LARGE}
    assert peak < before + _MOST_GROWTH_MB, (before, peak)
    assert peak < _MOST_MB


async def test_a_killed_worker_leaves_labels_and_bulks_to_the_next(
    api: Api, workspace: Workspace, api_servers: tuple[str, str], tmp_path: Path
) -> None:
    stage = await make_stage(api, workspace)
    await _add_rows(stage, _SMALL // _A_ROW)
    environment = _environment(api_servers, tmp_path / "objects")
    async with worker_process(environment) as first:
        predicted = await _submit(stage, _SMALL)
        await _until(stage, predicted, lambda found: found["state"] == "succeeded")
        labels = await _submit(stage, _SMALL, "labels")
        await _until(stage, labels, lambda found: found["progress"]["stage"] == "storing")
        first.kill()
        await first.wait()
    async with worker_process(environment) as second:
        ended = await _until(stage, labels, lambda found: found["state"] == "succeeded")
        body = {"action": "accept", "model_run_id": predicted["model_run_id"]}
        answer = await stage.client.post(f"/v1/projects/{stage.project}/decisions/bulk", json=body)
        bulk = {"operation_id": answer.json()["id"]}
        await _until(stage, bulk, lambda found: found["progress"]["done"] > 0 or found["state"] == "succeeded")
        second.kill()
        await second.wait()
    async with worker_process(environment):
        await _until(stage, bulk, lambda found: found["state"] == "succeeded")
    assert ended["result"]["created"] + ended["result"]["unchanged"] == _SMALL
    async with api.resources.sessions() as session:
        of_project = {"project": stage.project}
        by_source = text("SELECT provenance ->> 'source', count(*) FROM labels WHERE project_id = :project GROUP BY 1")
        assert dict((await session.execute(by_source, of_project)).all()) == {"import": _SMALL, "model_run": _SMALL}
        decisions = text(
            "SELECT count(*), count(DISTINCT (data_row_id, ordinal)) FROM decisions WHERE project_id = :project"
        )
        assert (await session.execute(decisions, of_project)).one() == (_SMALL, _SMALL)


async def _add_rows(stage: Stage, rows: int) -> None:
    async with stage.api.resources.sessions.begin() as session:
        made = {"workspace": stage.workspace.id, "project": stage.project, "rows": rows}
        await session.execute(
            text("""
                INSERT INTO data_rows (id, workspace_id, project_id, global_key)
                SELECT gen_random_uuid(), :workspace, :project, 'r' || n FROM generate_series(1, :rows) n
            """),
            made,
        )
        await session.execute(
            text("""
                INSERT INTO data_row_contents (data_row_id, workspace_id, uri)
                SELECT id, workspace_id, 'https://images.example.org/' || global_key FROM data_rows
                WHERE project_id = :project ON CONFLICT DO NOTHING
            """),
            {"project": stage.project},
        )


async def _submit(stage: Stage, predictions: int, what: str = "predictions") -> dict[str, Any]:
    """Each data row's predictions far apart, so that none may be thought to be complete when it is seen."""
    rows = predictions // _A_ROW
    content = b"".join(
        b'{"dataRow":{"globalKey":"r%d"},"name":"Person","confidence":0.5,'
        b'"bbox":{"left":1.5,"top":2,"width":30,"height":%d}}\n' % (n % rows + 1, n // rows + 1)
        for n in range(predictions)
    )
    of: dict[str, Any] = {"source": f"of {predictions}"} if what == "predictions" else {}
    answer = await upload(stage, what, content, **of)
    assert answer.status_code == 202, answer.text
    submitted: dict[str, Any] = answer.json()
    return submitted


async def _until(stage: Stage, submitted: dict[str, Any], holds: Any) -> dict[str, Any]:
    async with asyncio.timeout(150):
        while True:
            found: dict[str, Any] = await stage.get(f"/v1/operations/{submitted['operation_id']}")
            assert found["state"] not in {"failed", "cancelled"}, json.dumps(found["problem"])
            if holds(found):
                return found
            await asyncio.sleep(0.02)


async def _stored(stage: Stage, model_run_id: str) -> dict[str, int]:
    async with stage.api.resources.sessions() as session:
        outcomes = select(func.count()).where(RowOutcomeRow.model_run_id == model_run_id)
        detections = select(func.count()).where(DetectionRow.model_run_id == model_run_id)
        shown = select(func.sum(RowProjectionRow.shown)).where(RowProjectionRow.model_run_id == model_run_id)
        return {
            "row_outcomes": await session.scalar(outcomes) or 0,
            "detections": await session.scalar(detections) or 0,
            "shown": int(await session.scalar(shown) or 0),
        }


def _environment(servers: tuple[str, str], objects: Path) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        **os.environ,
        "DATABASE_URL": servers[0],
        "REDIS_URL": servers[1],
        "OBJECT_STORE_URL": f"file://{objects}",
        "OPERATIONS_METRICS_PORT": str(port),
        "OPERATIONS_LANES": "1",
        "OPERATIONS_LEASE_SECONDS": "3",
        "OPERATIONS_HEARTBEAT_SECONDS": "0.5",
        "OPERATIONS_POLL_SECONDS": "0.1",
    }


def _peak_mb(process: asyncio.subprocess.Process) -> float:
    """The most memory it has held so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
