"""Another threshold for a finished run, from the PATCH until it is shown, beside a bare read and COPY of the same rows.

The api and a worker of operations run in this process, on a PostgreSQL of their own. The bare loop reads the same
columns of the detections and writes as many rows as there are data rows; it decides nothing.
"""

import asyncio
import shutil
import time
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from uuid import UUID

import asyncpg
import httpx2

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from services.api.access.principal import Role
from services.api.worker import OPERATIONS
from shared.lifecycle import settle_heap
from tests.bench.measure import Measurement, Pairs, in_turns, machine
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.finished import CLASSES, Features, add_finished_run
from tests.support.operations import operating
from tests.support.servers import connected, fresh_database, migrate
from tests.support.world import World

_EACH, _PAIRS = 10, 5
_READ = """
    SELECT data_row_id, ordinal, model_class, confidence, area FROM detections WHERE model_run_id = $1
    ORDER BY data_row_id, ordinal
"""


@dataclass
class Bench:
    api: Api
    client: httpx2.AsyncClient
    run_id: UUID
    rows: int
    version: int = 1
    cpu: float = 0.0

    async def realign(self, threshold: float) -> float:
        """Data rows a second, until readers see the new version."""
        path = f"/v1/model-runs/{self.run_id}/alignment"
        began, cpu = time.perf_counter(), time.process_time()
        answer = await self.client.patch(path, json={"threshold": threshold}, headers={"If-Match": f'"{self.version}"'})
        if answer.status_code == 202:
            await self._until_succeeded(answer.headers["location"])
        elif answer.status_code != 200:
            raise RuntimeError(answer.text)
        took, self.cpu = time.perf_counter() - began, time.process_time() - cpu
        self.version += 1
        return self.rows / took

    async def _until_succeeded(self, operation: str) -> None:
        while (found := (await self.client.get(operation)).json())["state"] != "succeeded":
            if found["state"] in {"failed", "cancelled"}:
                raise RuntimeError(str(found["problem"]))
            await asyncio.sleep(0.05)


async def measure(rows: int) -> Measurement:
    options = StackOptions(state=ROOT / "var" / "bench-servers", free_ports=True, servers_only=True)
    with StackProcess(options) as stack:
        url = stack.addresses.database_url
        await asyncio.to_thread(migrate, f"{url.rpartition('/')[0]}/prelabel_template")
        database = fresh_database(stack.addresses)
        own = await asyncio.to_thread(database.__enter__)
        folder = ROOT / "var" / "bench-objects"
        async with running_api(api_settings(own, stack.addresses.redis_url, folder)) as api:
            pairs, seconds, cpu = await _measured(api, own, rows)
        shutil.rmtree(folder, ignore_errors=True)
    return Measurement(
        name=f"reprojection_{rows}",
        value=round(seconds, 3),
        unit="s",
        goal="10,000 rows with 10 detections each under 2 s; 1,000 rows under 0.2 s",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=len(pairs.ours),
        cpu_us_per_item=round(cpu / rows * 1e6, 1),
        anchor="bare loop: the same columns read by asyncpg, a row a data row written by COPY, nothing decided",
        machine=machine(),
    )


async def _measured(api: Api, database_url: str, rows: int) -> tuple[Pairs, float, float]:
    sessions, signals = api.resources.sessions, api.resources.signals
    workspace = await api.workspace("bench")
    world, features = await _project(api, workspace)
    run_id = await add_finished_run(world, signals, features, rows=rows, each=_EACH)
    bench = Bench(api, api.as_(workspace), run_id, rows)
    thresholds = cycle([0.3, 0.6])
    cpu: list[float] = []
    async with connected(database_url) as driver, operating(sessions, signals, OPERATIONS):

        async def ours() -> float:
            rate = await bench.realign(next(thresholds))
            cpu.append(bench.cpu)
            return rate

        await driver.execute("CREATE TEMPORARY TABLE bare (data_row_id uuid, shown int, uncertainty float)")
        await ours()
        settle_heap()  # as the processes do at their start
        pairs = await in_turns(ours, partial(_bare_loop, driver, run_id, rows), _PAIRS)
    seconds = sorted(rows / rate for rate in pairs.ours)
    return pairs, seconds[len(seconds) // 2], sorted(cpu)[len(cpu) // 2]


async def _project(api: Api, workspace: Workspace) -> tuple[World, Features]:
    ontology = {"tools": [{"type": "bounding_box", "name": name} for name in CLASSES]}
    body = {"name": "bench", "media_type": "image", "ontology": ontology}
    client = api.as_(workspace)
    project = (await client.post("/v1/projects", json=body)).json()["id"]
    tools = (await client.get(f"/v1/projects/{project}/ontology")).json()["tools"]
    world = World(
        api.resources.sessions, api.resources.store, workspace.id, UUID(project), workspace.members[Role.EDITOR]
    )
    return world, Features({tool["name"]: UUID(tool["id"]) for tool in tools})


async def _bare_loop(driver: "asyncpg.Connection[asyncpg.Record]", run_id: UUID, rows: int) -> float:
    began = time.perf_counter()
    shown: dict[UUID, int] = {}
    for record in await driver.fetch(_READ, run_id):
        shown[record[0]] = shown.get(record[0], 0) + 1
    records = [(data_row_id, count, 0.5) for data_row_id, count in shown.items()]
    async with driver.transaction():
        await driver.execute("TRUNCATE bare")
        await driver.copy_records_to_table("bare", records=records)
    return rows / (time.perf_counter() - began)
