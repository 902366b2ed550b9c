"""Which port is whose: the known ones for people, free ones for tests, and the same ones after a restart."""

import json
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from zlib import crc32

from deploy.local.service import ServiceUnusable
from deploy.local.state import StateFolder

USUAL = {
    "api": 8000,
    "notifier": 8001,
    "inference_metrics": 8002,
    "operations_metrics": 8003,
    "previews_metrics": 8004,
    "postgres": 5433,
    "valkey": 6380,
    "triton_http": 8500,
    "triton_grpc": 8501,
    "triton_metrics": 8502,
}
ASKED_BY = {
    "api": "API_PORT",
    "notifier": "NOTIFIER_PORT",
    "inference_metrics": "INFERENCE_METRICS_PORT",
    "operations_metrics": "OPERATIONS_METRICS_PORT",
}
"""Variables of the environment that ask for another port than the usual one."""
# Under the range from which the kernel takes ports for outgoing connections: those could steal one in a restart.
_FREE_RANGE, _BLOCK = range(20_000, 32_000), 30
_blocks: dict[Path, tuple[range, socket.socket]] = {}


def wanted_ports() -> Mapping[str, int]:
    """The usual ones, or those that the environment asks for."""
    return {name: _asked(ASKED_BY[name], usual) if name in ASKED_BY else usual for name, usual in USUAL.items()}


def choose_ports(state: StateFolder, *, free: bool) -> Mapping[str, int]:
    """A port for each name: the wanted one (not for `free`), else the remembered one, else any that is free."""
    file = state.root / "ports.json"
    known: dict[str, int] = {}
    with suppress(FileNotFoundError, ValueError):
        known = json.loads(file.read_text())
    block = _block(state, known.values())
    remembered = {name: port for name, port in known.items() if port in block or port not in _FREE_RANGE}
    own = [port for port in block if port not in remembered.values()]
    chosen: dict[str, int] = {}
    for name, wanted in wanted_ports().items():
        first = [None if free else wanted, remembered.get(name)]
        chosen[name] = _first_free([port for port in first if port], own, taken=set(chosen.values()))
    state.write(file, json.dumps(chosen, indent=2))
    return chosen


def _asked(variable: str, usual: int) -> int:
    text = os.environ.get(variable) or str(usual)
    if not text.isdecimal() or not 0 < int(text) < 65536:  # noqa: PLR2004
        raise ServiceUnusable(f"{variable}={text} is no port")
    return int(text)


def _block(state: StateFolder, remembered: Iterable[int]) -> range:
    """Ports for this stack alone while this process lives, those of its last start where they can be had.

    The first of them is held, so that two stacks that start at once cannot find the same port free.
    """
    if state.root not in _blocks:
        last = {(port - _FREE_RANGE.start) // _BLOCK for port in remembered if port in _FREE_RANGE}
        usual = crc32(f"{os.getpid()} {state.root}".encode())
        count = len(_FREE_RANGE) // _BLOCK
        _blocks[state.root] = _hold(chain(last, ((usual + step) % count for step in range(count))))
    return _blocks[state.root][0]


def _hold(places: Iterable[int]) -> tuple[range, socket.socket]:
    for place in places:
        first, *_ = block = _FREE_RANGE[place * _BLOCK :][:_BLOCK]
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", first))
        except OSError:
            guard.close()
        else:
            return block[1:], guard
    raise RuntimeError(f"no {_BLOCK} free ports on 127.0.0.1 between 20000 and 32000")


def _first_free(wanted: list[int], own: list[int], taken: set[int]) -> int:
    for port in (*wanted, *own):
        if port not in taken and _free(port):
            return port
    raise RuntimeError(f"no free port on 127.0.0.1 from {own[0]} to {own[-1]}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do, or the connections of a stack that just stopped would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
