"""Moving a slider on a preview of 1,000 data rows with 20 detections each: another threshold, the sweep, two compared.

The api runs in this process, on a PostgreSQL of its own; what a model would have said is written by SQL.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy import text

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from shared.lifecycle import settle_heap
from tests.bench.measure import Measurement, machine
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, api_settings, running_api
from tests.support.servers import fresh_database, migrate

_ROWS, _EACH, _TIMES = 1000, 20, 9
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


async def measure() -> Measurement:
    options = StackOptions(state=ROOT / "var" / "bench-servers", free_ports=True, servers_only=True)
    with StackProcess(options) as stack:
        url = stack.addresses.database_url
        await asyncio.to_thread(migrate, f"{url.rpartition('/')[0]}/prelabel_template")
        database = fresh_database(stack.addresses)
        own = await asyncio.to_thread(database.__enter__)
        settings = api_settings(own, stack.addresses.redis_url, ROOT / "var" / "bench-objects")
        async with running_api(settings) as api:
            seconds, cpu = await _measured(api)
    return Measurement(
        name="preview_1000",
        value=round(statistics.median(seconds), 3),
        unit="s",
        goal="PATCH of a preview of 1,000 rows under 0.2 s",
        ratio=None,
        spread=(round(min(seconds), 3), round(max(seconds), 3)),
        pairs=len(seconds),
        cpu_us_per_item=round(cpu / _ROWS * 1e6, 1),
        anchor="none: the goal is a time",
        machine=machine(),
    )


async def _measured(api: Api) -> tuple[list[float], float]:
    stage = await make_stage(api, await api.workspace("bench"), rows=_ROWS)
    one = await _finished(stage, size=_ROWS)
    other = await _finished(stage, preview_id=one)
    path, version = f"/v1/previews/{one}", 0

    async def patch(n: int) -> None:
        nonlocal version
        version += 1
        body = {"threshold": 0.3 + n / 100}
        answer = await stage.client.patch(path, json=body, headers={"If-Match": f'"{version}"'})
        if answer.status_code != 200:
            raise RuntimeError(answer.text)

    async def sweep(n: int) -> None:
        del n
        await stage.get(f"{path}/sweep")

    async def compare(n: int) -> None:
        del n
        await stage.get("/v1/previews/compare", ids=f"{one},{other}")

    settle_heap()  # as the processes do at their start
    for name, ask in (("sweep", sweep), ("comparison", compare)):
        found, _ = await _timed(ask)
        sys.stderr.write(f"  {name}: {statistics.median(found):.3f} s\n")
    return await _timed(patch)


async def _timed(ask: Callable[[int], Awaitable[None]]) -> tuple[list[float], float]:
    """Seconds of each but the first, and the CPU of this process for one."""
    await ask(0)
    seconds, cpu = [], time.process_time()
    for n in range(1, _TIMES + 1):
        began = time.perf_counter()
        await ask(n)
        seconds.append(time.perf_counter() - began)
    return seconds, (time.process_time() - cpu) / _TIMES


async def _finished(stage: Stage, **sample: object) -> str:
    answer = await stage.client.post(
        f"/v1/projects/{stage.project}/previews",
        json=stage.body(stage.entry("person", "Person"), stage.entry("dog", "Person"), sample=sample),
    )
    if answer.status_code != 202:
        raise RuntimeError(answer.text)
    preview_id = answer.json()["id"]
    async with stage.api.resources.sessions.begin() as session:
        for statement in (_OUTCOMES, _DETECTIONS):
            await session.execute(statement, {"run": UUID(preview_id), "each": _EACH})
        await session.execute(text("ANALYZE detections, row_outcomes"))
    await stage.worker.end(UUID(preview_id))
    return str(preview_id)
