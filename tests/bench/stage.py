"""The stack of a bench: started for it alone, with the models it wants, and removed afterwards."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway
from deploy.local.http import answers_ok
from deploy.local.stack import ROOT, StackOptions
from tests.support.stand_ins import StandIn, model_store


@dataclass(frozen=True)
class Stage:
    stack: StackProcess
    gateway: Gateway
    models: Path

    @property
    def api_url(self) -> str:
        return self.stack.addresses.api_url

    @property
    def notifier_url(self) -> str:
        return self.stack.addresses.notifier_url


@asynccontextmanager
async def staged(name: str, stand_ins: Iterable[StandIn]) -> AsyncIterator[Stage]:
    state = ROOT / "var" / f"bench-{name}"
    models = model_store(state / "models", stand_ins)
    stack = StackProcess(StackOptions(state=state, models=models, free_ports=True))
    try:
        await asyncio.to_thread(stack.start)
        gateway = Gateway(stack.addresses.api_url, stack.api_key)
        yield Stage(stack, gateway, models)
        await gateway.close()
    finally:
        await asyncio.to_thread(stack.remove)


@asynccontextmanager
async def more_workers(stage: Stage, count: int) -> AsyncIterator[None]:
    """So many inference workers beside the stack's own."""
    processes = []
    try:
        for _ in range(count):
            port = _free_port()
            environment = {**os.environ, **stage.stack.addresses.environment(), "LOG_LEVEL": "WARNING"}
            environment["INFERENCE_METRICS_PORT"] = str(port)
            command = (sys.executable, "-m", "services.inference")
            processes.append(await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment))
            async with asyncio.timeout(60):
                while not await _ready(port):
                    await asyncio.sleep(0.2)
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            await process.wait()


async def _ready(port: int) -> bool:
    try:
        return await answers_ok(f"http://127.0.0.1:{port}/readyz")()
    except OSError:  # it does not listen yet
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
