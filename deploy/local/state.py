"""The state folder of one stack: what survives a restart, what is known of the running one, and whose it is."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from deploy.local.processes import ProcessIdentity

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]


class StateInUse(RuntimeError):
    def __init__(self, state: Path, owner: str) -> None:
        super().__init__(f"a stack is running on {state} already (process {owner or 'unknown'})")


class ServiceStatus(BaseModel):
    state: Literal["waiting", "starting", "ready", "done", "stopped"] = "waiting"
    process: ProcessIdentity | None = None
    restarts: int = 0


class StackStatus(BaseModel):
    """What `status.json` says; whether it is still true, the supervisor's identity tells."""

    supervisor: ProcessIdentity
    phase: Phase = "starting"
    reason: str = ""
    services: dict[str, ServiceStatus] = {}

    def running(self) -> bool:
        return self.phase in {"starting", "ready", "stopping"} and self.supervisor.alive()


@dataclass(frozen=True)
class StateFolder:
    root: Path

    @classmethod
    def at(cls, path: Path) -> "StateFolder":
        # Others may look in: as root, PostgreSQL runs as another account. Secrets have folders of their own.
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        return cls(path.resolve())

    def folder(self, name: str, mode: int = 0o755) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        return folder

    def secret(self, name: str) -> str:
        """A random text that is made once and kept for its owner only."""
        file = self.folder("secrets", 0o700) / name
        if not file.exists():
            self.write(file, secrets.token_urlsafe(32))
        return file.read_text().strip()

    def write(self, path: Path, text: str) -> None:
        """Whole or not at all, readable by the owner only: what is written here may name passwords."""
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.touch(0o600)
        fresh.write_text(text)
        os.replace(fresh, path)

    @property
    def api_key_file(self) -> Path:
        return self.root / "local-api-key"

    @property
    def log_folder(self) -> Path:
        return self.root / "log"

    def status(self) -> StackStatus | None:
        try:
            return StackStatus.model_validate_json((self.root / "status.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write_status(self, status: StackStatus) -> None:
        with suppress(FileNotFoundError):  # the whole folder was removed under a running stack
            self.write(self.root / "status.json", status.model_dump_json(indent=2))

    @contextmanager
    def owned(self) -> Iterator[None]:
        """For as long as this lasts no other supervisor can have the folder; the lock dies with its process."""
        with (self.root / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise StateInUse(self.root, file.read().strip()) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
