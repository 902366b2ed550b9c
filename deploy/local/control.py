"""A stack in a process of its own: started, stopped and killed from outside. For commands, the demo and tests.

    with StackProcess(StackOptions(state=Path("var/test/one"), free_ports=True)) as stack:
        stack.addresses.api_url, stack.api_key
        stack.kill("inference")     # SIGKILL; the supervisor starts it again
        stack.kill()                # SIGKILL to all of them and the supervisor
        stack.start()               # the same state, the same ports

Keep the state folder below `var/`: as root, PostgreSQL runs as another account, which cannot enter a folder that is
closed to others (pytest's `tmp_path` is one); its data then goes to /var/lib/prelabel.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.closed_folders import remove_home
from deploy.local.interrupts import answered
from deploy.local.logs import Tail, last_lines
from deploy.local.processes import kill_group, signal_process
from deploy.local.running import STOP_SECONDS, StackFailed, wait_until
from deploy.local.stack import ROOT, Addresses, StackOptions, known_addresses
from deploy.local.state import StackStatus, StateFolder

START_SECONDS = 300.0


class StackProcess:
    """`tied`: it stops when this process ends, however that happens. `show` gets its supervisor's lines."""

    def __init__(self, options: StackOptions, *, tied: bool = True, show: Callable[[str], None] | None = None) -> None:
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
        """Returns once everything is ready. Whatever interrupts it, what was started is stopped first."""
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
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self.addresses

    def stop(self) -> None:
        """Clean and complete; nothing happens when it does not run."""
        process = self._process
        if process is None:
            return

        def tell() -> None:
            if process.poll() is None:
                signal_process(process.pid, signal.SIGTERM)

        def ended() -> bool:
            gone = process.poll() is not None
            self._show_new_lines()
            return gone

        # An impatient Ctrl-C reaches the supervisor, which knows what it may cut short; the wait goes on.
        with answered(tell):
            tell()
            if not wait_until(ended, STOP_SECONDS):
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

        if not wait_until(again, seconds):
            raise StackFailed(f"{name} is not ready again after {seconds:.0f} s")

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        def settled() -> bool:
            self._show_new_lines()
            status = self._state.status()
            ours = status is not None and status.supervisor.pid == process.pid
            return process.poll() is not None or (ours and status is not None and status.phase == "ready")

        if wait_until(settled, START_SECONDS) and process.poll() is None:
            return
        self.stop()
        last = [] if self._show else last_lines(self._log, 40)
        raise StackFailed("\n".join([f"the stack on {self._state.root} did not start", *last]))

    @property
    def _log(self) -> Path:
        return self._state.log_folder / "up.log"

    def _show_new_lines(self) -> None:
        if self._show and self._lines:
            for line in self._lines.lines():
                self._show(line)

    def _forget(self) -> None:
        if self._process is not None:
            if self._process.stdin:
                self._process.stdin.close()
            self._process.wait()
            self._process = None


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
