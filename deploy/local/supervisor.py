"""Starts services in the order of their needs, keeps them running, and stops them in reverse.

Each service has one task, `_keep`. Whatever ends the stack (a signal, a service that cannot be started) only sets
`_ending`; the stop itself is in one place.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from deploy.local import logs
from deploy.local.child import Child
from deploy.local.processes import MARK, ProcessIdentity
from deploy.local.service import Service, ServiceUnusable
from deploy.local.state import ServiceStatus, StackStatus, StateFolder

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.2, 5.0
STEADY_SECONDS = 30  # a process that lasted so long starts again without delay
HOUSEKEEPING_SECONDS = 5
MOST_FAILURES = 10  # in a row, each before it was steady
# One wish to stop may come several times: from a terminal to the whole group, and passed on by make.
SAME_WISH_SECONDS = 1.0
SLOW_STOP_SECONDS = 2.0  # from then on it is said what is waited for


class ServiceFailed(RuntimeError):
    pass


class Supervisor:
    def __init__(self, state: StateFolder, services: Sequence[Service], terminal: logs.Terminal) -> None:
        self._state, self._services, self._terminal = state, services, terminal
        self._children: dict[str, Child] = {}
        self._ready = {service.name: asyncio.Event() for service in services}
        self._stopped = {service.name: asyncio.Event() for service in services}
        self._ending = asyncio.Event()
        self._last_signal: float | None = None
        self._status = StackStatus(
            supervisor=ProcessIdentity.of(os.getpid()), services={s.name: ServiceStatus() for s in services}
        )

    async def run(self, on_ready: Callable[[], Awaitable[None]]) -> int:
        """Until a signal or a failure; 0 after a signal, 1 after a failure. The state folder must be ours."""
        self._answer_signals()
        self._publish()
        housekeeping = asyncio.create_task(self._keep_house())
        keepers = {service.name: asyncio.create_task(self._keep(service)) for service in self._services}
        announcing = asyncio.create_task(self._announce(on_ready))
        try:
            await self._ending.wait()
        finally:
            self._status.phase = "stopping"
            self._publish()
            await asyncio.gather(*(self._stop(service, keepers[service.name]) for service in self._services))
            await _cancelled(housekeeping, announcing)
            self._status.phase = "failed" if self._status.reason else "stopped"
            self._publish()
        return 1 if self._status.reason else 0

    def end(self) -> None:
        """Stop everything."""
        self._ending.set()

    def _obey(self) -> None:
        """The first signal stops everything; another one, later, kills what has not stopped yet."""
        now, before = time.monotonic(), self._last_signal
        self._last_signal = now
        if before is not None and now - before > SAME_WISH_SECONDS:
            self._terminal.say("stopping at once")
            for child in self._children.values():
                child.kill()
        self.end()

    async def _keep(self, service: Service) -> None:
        try:
            for needed in service.after:
                await self._ready[needed].wait()
            await (self._run_once(service) if service.once else self._keep_running(service))
        except Exception as failure:  # whatever it is: a stack that lacks one service must not stay half up
            if self._ending.is_set():  # it ends because everything does, or another one failed first
                return
            self._status.reason = f"{service.name}: {failure}"
            self._terminal.say(f"{self._status.reason}; the end of its log ({self._log(service)}):")
            for line in logs.last_lines(self._log(service), 15):
                self._terminal.show(service.name, line)
            self._ending.set()

    async def _run_once(self, service: Service) -> None:
        began = time.monotonic()
        child = await self._start(service)
        code = await child.wait()
        if code != 0:
            raise ServiceFailed(f"ended with {code}")
        self._note(service, "done")
        self._terminal.say(f"{service.name} done in {time.monotonic() - began:.1f} s")
        self._ready[service.name].set()

    async def _keep_running(self, service: Service) -> None:
        failures = 0
        while not self._ending.is_set():
            began = time.monotonic()
            child = await self._start(service)
            if await self._becomes_ready(service, child):
                self._note(service, "ready")
                self._terminal.say(f"{service.name} ready in {time.monotonic() - began:.1f} s")
                self._ready[service.name].set()
            elif not self._ready[service.name].is_set():
                raise ServiceFailed(_never_ready(service, child))
            code = await child.wait()
            if self._ending.is_set():
                return
            failures = 0 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            if failures > MOST_FAILURES:
                raise ServiceFailed(f"ended {failures} times in a row, last with {code}")
            delay = min(FIRST_DELAY_SECONDS * 2 ** max(0, failures - 1), LONGEST_DELAY_SECONDS)
            self._terminal.say(f"{service.name} ended with {code}, starts again in {delay:.1f} s")
            self._status.services[service.name].restarts += 1
            self._note(service, "waiting")
            await asyncio.sleep(delay)

    async def _start(self, service: Service) -> Child:
        if self._ending.is_set():
            raise ServiceFailed("everything is stopping")
        if service.sweep:
            service.sweep()
        if service.prepare:
            await asyncio.to_thread(service.prepare)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", MARK: str(self._state.root)}
        child = await Child.start(service, environment, self._log(service))
        self._children[service.name] = child
        self._status.services[service.name].process = child.identity
        self._note(service, "starting")
        return child

    async def _becomes_ready(self, service: Service, child: Child) -> bool:
        """False when it ended or its time is over; then it does not run any more."""
        deadline = time.monotonic() + service.ready_seconds
        while child.exit_code is None and time.monotonic() < deadline:
            try:
                # Not wait_for: until Python 3.12 it can lose the cancellation that stops us.
                async with asyncio.timeout(5):
                    if service.ready is None or await service.ready():
                        return True
            except ServiceUnusable:
                raise
            except Exception:
                await asyncio.sleep(0)  # an error of any other kind is a server that does not answer yet
            await asyncio.sleep(0.05)
        await child.stop(service.stopping.signal, service.stopping.seconds)
        return False

    async def _stop(self, service: Service, keeper: "asyncio.Task[None]") -> None:
        for other in self._services:
            if service.name in other.after:
                await self._stopped[other.name].wait()
        await _cancelled(keeper)
        child = self._children.get(service.name)
        if child and child.exit_code is None:
            began = time.monotonic()
            most = f"waiting for {service.name} to stop, at most {service.stopping.seconds:.0f} s"
            telling = asyncio.get_running_loop().call_later(SLOW_STOP_SECONDS, self._terminal.say, most)
            obeyed = await child.stop(service.stopping.signal, service.stopping.seconds)
            telling.cancel()
            how = "stopped" if obeyed else "did not stop and was killed"
            self._terminal.say(f"{service.name} {how} in {time.monotonic() - began:.1f} s")
        if service.sweep:
            service.sweep()
        self._note(service, "stopped")
        self._stopped[service.name].set()

    async def _keep_house(self) -> None:
        while self._state.log_folder.exists():
            logs.keep_small(map(self._log, self._services))
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
        # Nobody could find this stack any more, to stop it or to use it.
        self._terminal.show("supervisor", f"{self._state.root} was removed")
        self._ending.set()

    async def _announce(self, on_ready: Callable[[], Awaitable[None]]) -> None:
        for event in self._ready.values():
            await event.wait()
        self._status.phase = "ready"
        self._publish()
        await on_ready()

    def _answer_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._obey)

    def _note(self, service: Service, state: str) -> None:
        current = self._status.services[service.name]
        self._status.services[service.name] = ServiceStatus.model_validate(current.model_dump() | {"state": state})
        self._publish()

    def _publish(self) -> None:
        self._state.write_status(self._status)

    def _log(self, service: Service) -> Path:
        return self._state.log_folder / f"{service.name}.log"


def _never_ready(service: Service, child: Child) -> str:
    if child.exit_code is not None and child.exit_code >= 0:
        return f"ended with {child.exit_code} before it was ready"
    return f"was not ready within {service.ready_seconds:.0f} s"


async def _cancelled(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
