"""Imports and exports through the api, beside a raw COPY of the same rows into and out of tables with the same indexes.

The api and a worker of operations run in this process, on a PostgreSQL of their own. What is copied by the anchor was
read from the tables before, as PostgreSQL's own text: it parses nothing and decides nothing.
"""

import asyncio
import io
import json
import resource
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from services.api.worker import OPERATIONS, collect_seldom
from shared.lifecycle import settle_heap
from tests.bench.measure import Measurement, Pairs, in_turns, machine
from tests.support.api import Api, api_settings, running_api
from tests.support.operations import operating
from tests.support.servers import connected, fresh_database, migrate

_DATA_ROWS, _PREDICTIONS, _A_ROW, _LABELS = 20_000, 100_000, 10, 50_000
_PAIRS = 3
_ONTOLOGY = {"tools": [{"type": "bounding_box", "name": name} for name in ("Person", "Car", "Dog")]}
_NDJSON = {"Content-Type": "application/x-ndjson"}
_ADD_LABELS = """
    INSERT INTO labels (id, workspace_id, project_id, data_row_id, feature_schema_id, annotation, classifications,
                        provenance, created_by)
    SELECT gen_random_uuid(), d.workspace_id, d.project_id, d.id, $2,
           jsonb_build_object('kind', 'bounding_box', 'left', n, 'top', 20.5, 'width', 30.25, 'height', 40),
           '[]', '{"source": "hand"}', $3
    FROM data_rows d, generate_series(1, $4::int) n WHERE d.project_id = $1
"""


@dataclass
class Bench:
    api: Api
    client: httpx2.AsyncClient
    driver: "asyncpg.Connection[asyncpg.Record]"
    member: UUID
    numbers: "count[int]" = field(default_factory=count)
    cpu: list[float] = field(default_factory=list)

    async def project(self) -> UUID:
        body = {"name": f"bench {next(self.numbers)}", "media_type": "image", "ontology": _ONTOLOGY}
        answer = await self.client.post("/v1/projects", json=body)
        return UUID(answer.json()["id"])

    async def add_data_rows(self, project: UUID, rows: int) -> float:
        """Data rows a second, as a stream of lines."""
        content = b"".join(
            b'{"global_key":"%06d.jpg","uri":"https://images.example.org/%06d.jpg"}\n' % (n, n) for n in range(rows)
        )
        began, cpu = time.perf_counter(), time.process_time()
        answer = await self.client.post(
            f"/v1/projects/{project}/data-rows", content=content, headers=_NDJSON, timeout=600
        )
        took = time.perf_counter() - began
        self.cpu.append(time.process_time() - cpu)
        if answer.text.count('"created"') != rows:
            raise RuntimeError(answer.text[:500])
        return rows / took

    async def predict(self, project: UUID, content: bytes, lines: int) -> tuple[float, UUID]:
        """Predictions a second, from the first byte sent until the run has ended; and the run."""
        path = f"/v1/projects/{project}/predictions/import?format=labelbox&source=bench-{next(self.numbers)}"
        began, cpu = time.perf_counter(), time.process_time()
        answer = await self.client.post(path, content=content, headers=_NDJSON, timeout=600)
        submitted = answer.json()
        while (found := (await self.client.get(answer.headers["location"])).json())["state"] != "succeeded":
            if found["state"] in {"failed", "cancelled"}:
                raise RuntimeError(str(found["problem"]))
            await asyncio.sleep(0.1)
        took = time.perf_counter() - began
        self.cpu.append(time.process_time() - cpu)
        if found["result"]["created"] != lines:
            raise RuntimeError(str(found["result"]))
        return lines / took, UUID(submitted["model_run_id"])


class RawCopy:
    """The rows of some tables, in memory as PostgreSQL's text, and empty tables of the same columns and indexes."""

    def __init__(self, driver: "asyncpg.Connection[asyncpg.Record]", tables: Sequence[str]) -> None:
        self._driver = driver
        self._tables = tables
        self._content: dict[str, bytes] = {}

    async def read(self, where: str) -> None:
        for table in self._tables:
            file = io.BytesIO()
            await self._driver.copy_from_query(f"SELECT * FROM {table} WHERE {where.format(table=table)}", output=file)
            self._content[table] = file.getvalue()
            await self._driver.execute(f"CREATE TABLE IF NOT EXISTS raw_{table} (LIKE {table} INCLUDING ALL)")

    async def write(self) -> float:
        """Seconds, in one transaction."""
        for table in self._tables:
            await self._driver.execute(f"TRUNCATE raw_{table}")
        began = time.perf_counter()
        async with self._driver.transaction():
            for table in self._tables:
                await self._driver.copy_to_table(f"raw_{table}", source=io.BytesIO(self._content[table]))
        return time.perf_counter() - began


@asynccontextmanager
async def _bench() -> AsyncIterator[Bench]:
    options = StackOptions(state=ROOT / "var" / "bench-servers", free_ports=True, servers_only=True)
    with StackProcess(options) as stack:
        url = stack.addresses.database_url
        await asyncio.to_thread(migrate, f"{url.rpartition('/')[0]}/prelabel_template")
        own = await asyncio.to_thread(fresh_database(stack.addresses).__enter__)
        folder = ROOT / "var" / "bench-objects"
        async with running_api(api_settings(own, stack.addresses.redis_url, folder)) as api, connected(own) as driver:
            workspace = await api.workspace("bench")
            resources = api.resources
            async with operating(resources.sessions, resources.signals, OPERATIONS, resources.store):
                member = next(iter(workspace.members.values()))
                yield Bench(api, api.as_(workspace), driver, member)
        shutil.rmtree(folder, ignore_errors=True)


async def measure_data_rows() -> Measurement:
    async with _bench() as bench:
        first = await bench.project()
        await bench.add_data_rows(first, _DATA_ROWS)
        raw = RawCopy(bench.driver, ("data_rows", "data_row_contents"))
        of_project = f"SELECT id FROM data_rows WHERE project_id = '{first}'"
        await raw.read(f"(to_jsonb({{table}}) ->> 'id')::uuid IN ({of_project}) OR "
                       f"(to_jsonb({{table}}) ->> 'data_row_id')::uuid IN ({of_project})")  # fmt: skip
        settle_heap()

        async def ours() -> float:
            return await bench.add_data_rows(await bench.project(), _DATA_ROWS)

        async def anchor() -> float:
            return _DATA_ROWS / await raw.write()

        pairs = await in_turns(ours, anchor, _PAIRS)
        return _measurement("import_data_rows", pairs, _DATA_ROWS, bench.cpu)


async def measure_predictions() -> Measurement:
    async with _bench() as bench:
        project = await bench.project()
        await bench.add_data_rows(project, _PREDICTIONS // _A_ROW)
        content = _predictions()
        bench.cpu.clear()
        _, run_id = await bench.predict(project, content, _PREDICTIONS)
        raw = RawCopy(bench.driver, ("row_outcomes", "detections", "row_projections"))
        await raw.read(f"model_run_id = '{run_id}'")
        settle_heap()
        collect_seldom()  # as the worker does, which is in this process here

        async def ours() -> float:
            return (await bench.predict(project, content, _PREDICTIONS))[0]

        async def anchor() -> float:
            return _PREDICTIONS / await raw.write()

        pairs = await in_turns(ours, anchor, _PAIRS)
        return _measurement("import_predictions", pairs, _PREDICTIONS, bench.cpu)


async def measure_export() -> Measurement:
    async with _bench() as bench:
        project = await bench.project()
        await bench.add_data_rows(project, _LABELS // _A_ROW)
        tools = (await bench.client.get(f"/v1/projects/{project}/ontology")).json()["tools"]
        await bench.driver.execute(_ADD_LABELS, project, UUID(tools[0]["id"]), bench.member, _A_ROW)
        bench.cpu.clear()
        query = f"SELECT * FROM labels WHERE project_id = '{project}'"
        settle_heap()

        async def ours() -> float:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began, cpu, size = time.perf_counter(), time.process_time(), 0
            async with bench.client.stream("GET", f"/v1/projects/{project}/export", timeout=600) as answer:
                async for piece in answer.aiter_bytes():
                    size += len(piece)
            took = time.perf_counter() - began
            bench.cpu.append(time.process_time() - cpu)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            sys.stderr.write(f"  {size / 1e6:.1f} MB; memory grew by {grown:.1f} MB\n")
            return _LABELS / took

        async def anchor() -> float:
            began = time.perf_counter()
            await bench.driver.copy_from_query(query, output=io.BytesIO())
            return _LABELS / (time.perf_counter() - began)

        pairs = await in_turns(ours, anchor, _PAIRS)
        return _measurement("export", pairs, _LABELS, bench.cpu)


def _predictions() -> bytes:
    lines: list[bytes] = []
    for n in range(_PREDICTIONS):
        item: dict[str, Any] = {
            "uuid": f"00000000-0000-4000-8000-{n:012}",
            "dataRow": {"globalKey": f"{n // _A_ROW:06d}.jpg"},
            "name": ("Person", "Car", "Dog")[n % 3],
            "bbox": {"top": n % 100 + 0.5, "left": 20.25, "height": 30, "width": 40.125},
            "confidence": (n % 100) / 100,
        }
        lines.append(json.dumps(item).encode())
    return b"\n".join(lines) + b"\n"


def _measurement(name: str, pairs: Pairs, items: int, cpu: list[float]) -> Measurement:
    rates = sorted(pairs.ours)
    way = "out of the table" if name == "export" else "into tables of the same columns and indexes, one transaction"
    return Measurement(
        name=name,
        value=round(rates[len(rates) // 2], 1),
        unit="labels/s" if name == "export" else "rows/s",
        goal="memory flat" if name == "export" else "at least 0.25 of a raw COPY of the same rows",
        ratio=pairs.ratio,
        spread=pairs.spread,
        pairs=len(pairs.ours),
        cpu_us_per_item=round(sorted(cpu)[len(cpu) // 2] / items * 1e6, 1),
        anchor=f"raw COPY of the same rows, {way}",
        machine=machine(),
    )
