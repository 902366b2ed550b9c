"""A stack in a process of its own: started, stopped and killed from outside. For commands, the demo and tests.

    with StackProcess(StackOptions(state=Path("var/test/one"), free_ports=True)) as stack:
        stack.addresses.api_url, stack.api_key
        stack.kill("inference")     # SIGKILL; the supervisor starts it again
        stack.kill()                # SIGKILL to all of them and the supervisor
        stack.start()               # the same state, the same ports

Keep the state folder below `var/`: as root, PostgreSQL runs as another account, which cannot enter a folder that is
closed to others (pytest's `tmp_path` is one); its data then goes to /var/lib/prelabel.
"""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.closed_folders import remove_home
from deploy.local.leftovers import end_leftovers, remove_shared_memory
from deploy.local.logs import Tail, last_lines
from deploy.local.processes import kill_group, signal_process
from deploy.local.stack import ROOT, Addresses, StackOptions, known_addresses
from deploy.local.state import StackStatus, StateFolder
from deploy.local.triton import shared_memory_prefix

START_SECONDS, STOP_SECONDS = 300.0, 60.0


class StackFailed(RuntimeError):
    pass


class StackProcess:
    """`tied`: it stops when this process ends, however that happens. `show`: its supervisor's lines on our terminal."""

    def __init__(self, options: StackOptions, *, tied: bool = True, show: bool = False) -> None:
        self._options, self._tied, self._show = options, tied, show
        self._state = StateFolder.at(options.state)
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: Tail | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def addresses(self) -> Addresses:
        return known_addresses(self._state)

    @property
    def api_key(self) -> str:
        return self._state.api_key_file.read_text().strip()

    @property
    def log_folder(self) -> Path:
        return self._state.log_folder

    def status(self) -> StackStatus:
        status = self._state.status()
        if status is None:
            raise StackFailed(f"nothing is known of a stack on {self._state.root}")
        return status

    def start(self) -> Addresses:
        """Returns once everything is ready."""
        self._state.folder("log")
        command = [sys.executable, "-m", "deploy.local", "up", *_words(self._options)]
        words = ["--quiet", *(["--stop-with-stdin"] if self._tied else [])]
        with self._log.open("wb") as output:
            self._lines = Tail(self._log)
            self._process = subprocess.Popen(
                [*command, *words],
                cwd=ROOT,
                stdin=subprocess.PIPE if self._tied else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready(self._process)
        return self.addresses

    def stop(self) -> None:
        """Clean and complete; nothing happens when it does not run."""
        if self._process is None:
            return
        if self._process.poll() is None:
            signal_process(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget()

    def remove(self) -> None:
        """Stop, and delete all that was kept; for the state folders of tests."""
        self.stop()
        remove_home(self._state.root / "postgres" / "is-in")
        shutil.rmtree(self._state.root, ignore_errors=True)

    def kill(self, *names: str) -> None:
        """SIGKILL, with no time for anything: to these services, or to every service and the supervisor."""
        status = self.status()
        if not names:
            # Held still first, or it would start again what is killed before it.
            signal_process(status.supervisor.pid, signal.SIGSTOP)
        for name, service in self.status().services.items():
            if service.process and service.process.alive() and (not names or name in names):
                kill_group(service.process.pid)
        if not names:
            signal_process(status.supervisor.pid, signal.SIGKILL)
            self._forget()

    def wait_until_ready(self, name: str, *, restarts: int, seconds: float = 60) -> None:
        """Until a service that was killed runs again, `restarts` times in all."""

        def again() -> bool:
            service = self.status().services[name]
            return service.state == "ready" and service.restarts >= restarts

        if not _wait(again, seconds):
            raise StackFailed(f"{name} is not ready again after {seconds:.0f} s")

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        def settled() -> bool:
            self._show_new_lines()
            status = self._state.status()
            ours = status is not None and status.supervisor.pid == process.pid
            return process.poll() is not None or (ours and status is not None and status.phase == "ready")

        if _wait(settled, START_SECONDS) and process.poll() is None:
            return
        self.stop()
        self._show_new_lines()
        last = [] if self._show else last_lines(self._log, 40)
        raise StackFailed("\n".join([f"the stack on {self._state.root} did not start", *last]))

    @property
    def _log(self) -> Path:
        return self._state.log_folder / "up.log"

    def _show_new_lines(self) -> None:
        if self._show and self._lines:
            sys.stdout.writelines(f"{line}\n" for line in self._lines.lines())
            sys.stdout.flush()

    def _forget(self) -> None:
        if self._process is not None:
            if self._process.stdin:
                self._process.stdin.close()
            self._process.wait()
            self._process = None


def stop_running(state: StateFolder) -> bool:
    """Stop a stack that somebody else started; False when none runs. Also clears away what a killed one left."""
    status = state.status()
    if status is None or not status.running():
        with state.owned():
            left = asyncio.run(end_leftovers(state))
            remove_shared_memory(shared_memory_prefix(state))
        return left > 0
    signal_process(status.supervisor.pid, signal.SIGTERM)
    if not _wait(lambda: not status.supervisor.alive(), STOP_SECONDS):
        raise StackFailed(f"process {status.supervisor.pid} did not stop within {STOP_SECONDS:.0f} s")
    return True


def _words(options: StackOptions) -> list[str]:
    words = [
        "--state",
        str(options.state),
        "--models",
        str(options.models),
        "--triton-python",
        str(options.triton_python),
    ]
    flags = {"--free-ports": options.free_ports, "--servers-only": options.servers_only}
    return [*words, *(flag for flag, wanted in flags.items() if wanted)]


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True
