"""A preview of 1,000 data rows answers while somebody moves a slider."""

import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.bench.measure import cpu_seconds
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio

_ROWS, _EACH = 1000, 20
_OUTCOMES = text("""
    INSERT INTO row_outcomes (model_run_id, data_row_id, workspace_id, execution, state, attempts, detections)
    SELECT s.model_run_id, unnest(s.data_row_ids), s.workspace_id, 1, 'succeeded', 1, :each
    FROM segments s WHERE s.model_run_id = :run
""")
_DETECTIONS = text("""
    INSERT INTO detections
        (model_run_id, data_row_id, ordinal, workspace_id, model_class, confidence, area, annotation)
    SELECT o.model_run_id, o.data_row_id, d.n, o.workspace_id, (ARRAY['person', 'cat', 'dog'])[1 + d.n % 3],
           0.05 + 0.95 * (('x' || substr(md5(o.data_row_id::text || d.n), 1, 8))::bit(32)::bigint / 4294967296.0), 200,
           jsonb_build_object('kind', 'bounding_box', 'left', 15 * d.n, 'top', 2, 'width', 10, 'height', 20)
    FROM row_outcomes o, generate_series(0, :each - 1) AS d(n) WHERE o.model_run_id = :run
""")
_LABELS = text("""
    INSERT INTO labels
        (id, workspace_id, project_id, data_row_id, feature_schema_id, annotation, provenance, created_by)
    SELECT gen_random_uuid(), d.workspace_id, :project, d.data_row_id, :feature, d.annotation, '{}', :member
    FROM detections d WHERE d.model_run_id = :run AND d.model_class = 'person' AND d.confidence > 0.5
""")


async def _finished(stage: Stage, **sample: object) -> str:
    answer = await stage.client.post(
        f"/v1/projects/{stage.project}/previews",
        json=stage.body(stage.entry("person", "Person"), stage.entry("dog", "Person"), sample=sample),
    )
    assert answer.status_code == 202, answer.text
    preview_id = answer.json()["id"]
    async with stage.api.resources.sessions.begin() as session:
        for statement in (_OUTCOMES, _DETECTIONS):
            await session.execute(statement, {"run": UUID(preview_id), "each": _EACH})
        await session.execute(text("ANALYZE detections, row_outcomes"))
    await stage.worker.end(UUID(preview_id))
    return str(preview_id)


async def _backends(stage: Stage) -> list[int]:
    async with stage.api.resources.sessions() as session:
        found = await session.scalars(text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"))
        return list(found)


async def _work(stage: Stage, ask: Callable[[int], Awaitable[None]], tries: int = 7) -> float:
    """Seconds of work an answer costs the api and PostgreSQL together, at best: it is what a caller waits for on a
    machine that does nothing else, and the same on one that does."""
    seconds = []
    for n in range(tries):
        backends = await _backends(stage)
        before = time.process_time() + sum(map(cpu_seconds, backends))
        await ask(n)
        seconds.append(time.process_time() + sum(map(cpu_seconds, backends)) - before)
    return min(seconds)


async def test_a_thousand_rows(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=_ROWS)
    one = await _finished(stage, size=_ROWS)
    other = await _finished(stage, preview_id=one)
    path = f"/v1/previews/{one}"

    async def patch(n: int) -> None:
        body = {"threshold": 0.3 + n / 100}
        answer = await stage.client.patch(path, json=body, headers={"If-Match": f'"{n + 1}"'})
        assert answer.status_code == 200, answer.text

    async def look(n: int) -> None:
        assert (await stage.get(f"{path}/pre-labels", threshold=0.2 + n / 100))["items"]

    async def sweep(n: int) -> None:
        assert (await stage.get(f"{path}/sweep"))["data_rows"] == _ROWS

    async def compare(n: int) -> None:
        assert (await stage.get("/v1/previews/compare", ids=f"{one},{other}"))["data_rows"] == _ROWS

    assert await _work(stage, patch) < 0.2
    assert await _work(stage, look) < 0.2
    assert await _work(stage, sweep) < 0.3
    async with api.resources.sessions.begin() as session:
        given = {"run": UUID(one), "project": UUID(stage.project), "feature": UUID(stage.features["Person"])}
        await session.execute(_LABELS, {**given, "member": UUID(int=1)})
    assert await _work(stage, sweep) < 0.8
    assert await _work(stage, compare) < 1
