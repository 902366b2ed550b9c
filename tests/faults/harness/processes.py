"""Prelabel's services as processes of their own, started again when they end, as an orchestrator would."""

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any

from deploy.local.processes import kill_group, signal_process
from deploy.local.stack import ROOT

READY_SECONDS = 60.0
_PAUSE_SECONDS = 0.2
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Order:
    """How a service is started. `defect` and `crash` as in `tests.faults.defective`; a crash is armed once."""

    module: str
    environment: Mapping[str, str]
    ready_url: str | None = None
    arguments: tuple[str, ...] = ()
    defect: str | None = None
    crash: str | None = None


@dataclass
class Running:
    order: Order
    pid: int | None = None
    code: int | None = None
    starts: int = 0
    is_wanted: bool = True
    is_armed: bool = True
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Processes:
    """By name. What ends by itself or is killed starts again after a moment, unless it was held down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services: dict[str, Running] = {}
        self._by_pid: dict[int, Running] = {}
        self._restarting: set[asyncio.Task[None]] = set()
        self._nursery: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "nursery.log").open("ab") as log:
            self._nursery = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.harness.nursery"),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        await self._message()
        self._reader = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Ends all of them at once; what they had under way is nobody's concern any more."""
        for running in self._services.values():
            running.is_wanted = False
        self.kill(*self._services)
        if self._nursery is not None and self._nursery.stdin is not None:
            self._nursery.stdin.close()
            await self._nursery.wait()
        tasks = [*self._restarting, *([self._reader] if self._reader else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start(self, name: str, order: Order, *, wait: bool = True) -> None:
        """Start it, or in place of the one that runs, as ordered now."""
        running = self._services.setdefault(name, Running(order))
        if running.pid is not None:
            await self.end(name)
        running.order, running.is_wanted, running.is_armed = order, True, True
        self._launch(name, running)
        await self._until(running, lambda: running.pid is not None or running.code is not None)
        if wait:
            await self.until_ready(name)

    async def run(self, name: str, order: Order) -> None:
        """To its end. Raises RuntimeError unless that is a good one."""
        running = Running(order, is_wanted=False)
        self._services[name] = running
        self._launch(name, running)
        await self._until(running, lambda: running.code is not None)
        del self._services[name]
        if running.code:
            raise RuntimeError(f"{name} ended with {running.code}: {self.log(name)[-2000:]}")

    def pid(self, name: str) -> int | None:
        return self._services[name].pid

    def starts(self, name: str) -> int:
        return self._services[name].starts

    def names(self, module: str = "") -> list[str]:
        return [name for name, running in self._services.items() if running.order.module.startswith(module)]

    def send(self, name: str, number: int) -> None:
        if (pid := self._services[name].pid) is not None:
            signal_process(pid, number)

    def kill(self, *names: str) -> None:
        for name in names:
            if (pid := self._services[name].pid) is not None:
                kill_group(pid)

    async def end(self, name: str, number: int = SIGKILL) -> None:
        """End it and leave it down."""
        running = self._services[name]
        running.is_wanted = False
        self.send(name, number)
        await self._until(running, lambda: running.pid is None)

    async def until_ended(self, name: str, start: int, seconds: float = READY_SECONDS) -> None:
        """Until its process of that start is gone."""
        running = self._services[name]
        await self._until(running, lambda: running.starts > start or running.pid is None, seconds)

    async def until_ready(self, name: str, seconds: float = READY_SECONDS) -> None:
        url = self._services[name].order.ready_url
        deadline = time.monotonic() + seconds
        while url is not None and not await asyncio.to_thread(_answers, url):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not ready after {seconds:.0f} s: {self.log(name)[-2000:]}")
            await asyncio.sleep(0.03)

    def log(self, name: str) -> str:
        path = self._folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _launch(self, name: str, running: Running) -> None:
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        order = running.order
        message = {
            "name": name,
            "module": order.module,
            "arguments": order.arguments,
            "environment": dict(order.environment),
            "log": str(self._folder / f"{name}.log"),
            "defect": order.defect,
            "crash": order.crash if running.is_armed else None,
        }
        running.is_armed = False
        running.starts += 1
        running.code = None
        self._nursery.stdin.write(json.dumps(message).encode() + b"\n")

    async def _follow(self) -> None:
        try:
            await self._follow_to_its_end()
        finally:  # whoever waits for something is told
            for running in self._services.values():
                running.changed.set()

    async def _follow_to_its_end(self) -> None:
        while message := await self._message():
            if "name" in message:
                running = self._services[message["name"]]
                running.pid = message["pid"]
                self._by_pid[message["pid"]] = running
            else:
                running = self._by_pid.pop(message["pid"])
                kill_group(message["pid"])
                running.pid, running.code = None, message["code"]
                if running.is_wanted:
                    task = asyncio.create_task(self._restart(running))
                    self._restarting.add(task)
                    task.add_done_callback(self._restarting.discard)
            running.changed.set()

    async def _restart(self, running: Running) -> None:
        await asyncio.sleep(_PAUSE_SECONDS)
        name = next(name for name, one in self._services.items() if one is running)
        if running.is_wanted and running.pid is None:
            self._launch(name, running)

    async def _message(self) -> dict[str, Any]:
        assert self._nursery is not None
        assert self._nursery.stdout is not None
        line = await self._nursery.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {}
        return found

    async def _until(self, running: Running, holds: Any, seconds: float = READY_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                if self._reader is not None and self._reader.done():
                    raise RuntimeError(
                        f"the nursery is followed no more: {self._reader}; {self.log('nursery')[-2000:]}"
                    )
                running.changed.clear()
                await running.changed.wait()


def _answers(url: str) -> bool:
    try:
        with _OPENER.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
