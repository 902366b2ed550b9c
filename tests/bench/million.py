"""A million data rows and a million predictions, imported by processes of their own: the most memory each of them held.

`python -m tests.bench.million [LINES]`. What is sent is made while it is sent, so that nothing here holds it either.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from services.api.access.principal import Role
from tests.bench.measure import Measurement, machine
from tests.support.api import api_settings, running_api
from tests.support.servers import fresh_database, migrate

LINES = 1_000_000
_A_ROW, _A_PIECE, _MOST_MB = 10, 10_000, 512
_NDJSON = {"Content-Type": "application/x-ndjson"}
_TOOLS = {"tools": [{"type": "bounding_box", "name": "Person"}]}


async def measure(lines: int = LINES) -> Measurement:
    async with _stage() as (client, processes):
        project = (
            await client.post("/v1/projects", json={"name": "m", "media_type": "image", "ontology": _TOOLS})
        ).json()["id"]
        began = time.perf_counter()
        await _add_data_rows(client, project, lines)
        sys.stderr.write(f"  {lines} data rows in {time.perf_counter() - began:.0f} s\n")
        began = time.perf_counter()
        await _import_predictions(client, project, lines)
        took = time.perf_counter() - began
        peaks = {name: _peak_mb(process.pid) for name, process in processes.items()}
        sys.stderr.write(f"  {lines} predictions in {took:.0f} s; most memory in MB: {peaks}\n")
    return Measurement(
        name="import_million" if lines == LINES else f"import_{lines}",
        value=round(max(peaks.values()), 1),
        unit="MB",
        goal=f"at most {_MOST_MB} MB in any process",
        ratio=None,
        spread=None,
        pairs=1,
        cpu_us_per_item=None,
        anchor=f"{lines} data rows through the api, then {lines} predictions by a worker of operations",
        machine=machine(),
    )


async def _add_data_rows(client: httpx2.AsyncClient, project: str, lines: int) -> None:
    line = b'{"global_key":"%07d.jpg","uri":"https://images.example.org/%07d.jpg"}\n'
    created = 0
    # Read piece by piece: an answer of a million lines is kept by nobody.
    async with client.stream(
        "POST", f"/v1/projects/{project}/data-rows", content=_pieces(lines, lambda n: line % (n, n)), headers=_NDJSON
    ) as answer:
        async for piece in answer.aiter_bytes():
            created += piece.count(b'"created"')
    if abs(created - lines) > lines / 1000:  # a word may be cut by the end of a piece
        raise RuntimeError(f"{created} of {lines} data rows were created")


async def _import_predictions(client: httpx2.AsyncClient, project: str, lines: int) -> None:
    """Those of one data row far apart, so that none may be thought to be complete when it is seen."""
    line = (
        b'{"dataRow":{"globalKey":"%07d.jpg"},"name":"Person","confidence":0.5,'
        b'"bbox":{"left":1.5,"top":2,"width":30,"height":%d}}\n'
    )
    rows = max(lines // _A_ROW, 1)
    content = _pieces(lines, lambda n: line % (n % rows, n // rows + 1))
    path = f"/v1/projects/{project}/predictions/import"
    answer = await client.post(path, params={"format": "labelbox", "source": "bench"}, content=content, headers=_NDJSON)
    answer.raise_for_status()
    while (found := (await client.get(answer.headers["location"])).json())["state"] not in {"succeeded", "failed"}:
        await asyncio.sleep(0.5)
    if found["state"] == "failed" or found["result"]["created"] != lines:
        raise RuntimeError(str(found))


async def _pieces(lines: int, line: Any) -> AsyncIterator[bytes]:
    for start in range(0, lines, _A_PIECE):
        yield b"".join(line(n) for n in range(start, min(start + _A_PIECE, lines)))


@asynccontextmanager
async def _stage() -> AsyncIterator[tuple[httpx2.AsyncClient, dict[str, "subprocess.Popen[bytes]"]]]:
    options = StackOptions(state=ROOT / "var" / "bench-servers", free_ports=True, servers_only=True)
    with ExitStack() as stack:
        servers = stack.enter_context(StackProcess(options)).addresses
        await asyncio.to_thread(migrate, f"{servers.database_url.rpartition('/')[0]}/prelabel_template")
        own = await asyncio.to_thread(fresh_database(servers).__enter__)
        objects = Path(stack.enter_context(TemporaryDirectory(dir=ROOT / "var")))
        settings = api_settings(own, servers.redis_url, objects)
        async with running_api(settings) as api:
            key = (await api.workspace("bench")).keys[Role.EDITOR]
        ports = {"API_PORT": _free_port(), "OPERATIONS_METRICS_PORT": _free_port()}
        environment = {
            **os.environ,
            **{name: str(port) for name, port in ports.items()},
            "DATABASE_URL": own,
            "REDIS_URL": servers.redis_url,
            "OBJECT_STORE_URL": f"file://{objects}",
            "SECRET_KEY": settings.secret_key.get_secret_value(),
            "ALLOWED_CONTENT_HOSTS": '["images.example.org"]',
            "LOG_LEVEL": "WARNING",
        }
        processes = {
            name: stack.enter_context(_process(f"services.api{module}", environment))
            for name, module in (("api", ""), ("worker", ".worker"))
        }
        headers = {"Authorization": f"Bearer {key}"}
        url = f"http://127.0.0.1:{ports['API_PORT']}"
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=7200) as client:
            await _until_ready(client)
            yield client, processes


@contextmanager
def _process(module: str, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-m", module], env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


async def _until_ready(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(180):
        while True:
            try:
                if (await client.get("/readyz", timeout=5)).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else LINES)).print()
