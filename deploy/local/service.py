"""What the supervisor must know of a service."""

import os
import pwd
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# True once the service answers; False or an exception of the connection means "not yet".
Probe = Callable[[], Awaitable[bool]]


class ServiceUnusable(RuntimeError):
    """A service cannot be started on this machine as it is; the text says what to do."""


@dataclass(frozen=True)
class Account:
    user: int
    group: int

    @classmethod
    def unprivileged(cls) -> "Account | None":
        """Whom to run as when this is root and the server refuses root."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        raise ServiceUnusable("running as root, but there is neither an account postgres nor nobody for PostgreSQL")


@dataclass(frozen=True)
class Stopping:
    """How it is asked to stop, and how long it may take before it is killed."""

    signal: int = signal.SIGTERM
    seconds: float = 15


@dataclass(frozen=True)
class Service:
    """One process; `after` names the services that must be ready first and are stopped later.

    A service with `once` runs to its end, and only an exit code of 0 lets the others go on.
    """

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    once: bool = False
    ready: Probe | None = None
    ready_seconds: float = 60
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path("/")
    account: Account | None = None
    stopping: Stopping = Stopping()
    # Runs before each start, off the event loop.
    prepare: Callable[[], None] | None = None
    # Runs before each start and after each end: removes what an earlier process may have left.
    sweep: Callable[[], None] | None = None
