"""One process of a service: its start in a session of its own, its end with all it started."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.processes import ProcessIdentity, kill_group, signal_process
from deploy.local.service import Service

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.identity = ProcessIdentity.of(process.pid)

    @classmethod
    async def start(cls, service: Service, environment: Mapping[str, str], log: Path) -> "Child":
        """Its output goes straight to the file: no pipe that breaks while it shuts down after our death."""
        account = service.account
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *service.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**environment, **service.environment},
                cwd=service.folder,
                start_new_session=True,
                user=account.user if account else None,
                group=account.group if account else None,
                extra_groups=[] if account else None,
                preexec_fn=_die_with(os.getpid(), service.stopping.signal),
            )
        return cls(process)

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        code = await self._process.wait()
        kill_group(self.identity.pid)
        return code

    async def stop(self, number: int, seconds: float) -> bool:
        """False when it had to be killed."""
        if self.exit_code is None:
            signal_process(self.identity.pid, number)
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            kill_group(self.identity.pid)
            await self.wait()
            return False
        return True

    def kill(self) -> None:
        kill_group(self.identity.pid)


def _die_with(supervisor: int, number: int) -> Callable[[], None]:
    def in_child() -> None:
        # Set after the change of account, which would clear it. If the supervisor died meanwhile no signal comes.
        _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != supervisor:
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child
