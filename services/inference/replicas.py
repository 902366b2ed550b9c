"""Every server behind Triton's address. What is not in their repository must be loaded on each of them."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from services.inference.failures import PartAway
from services.inference.reports import ModelState
from services.inference.triton import Triton
from shared.telemetry import logger

Resolve = Callable[[str], Awaitable[Sequence[str]]]
States = Mapping[str, ModelState]

_KNOWN_FOR_SECONDS = 10.0
_LOOK_SECONDS = 2.0

log = logger(__name__)


async def resolved(address: str) -> Sequence[str]:
    """The addresses behind a name, or several with commas between them, of one family: a server that listens on both
    is one server."""
    asked = await asyncio.gather(*(_looked_up(one.strip()) for one in address.split(",")))
    found = {where for answer in asked for where in answer}
    versions = {family for family, _, _ in found}
    chosen = socket.AF_INET if socket.AF_INET in versions else socket.AF_INET6
    return sorted(
        f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
        for family, host, port in found
        if family == chosen
    )


async def keep_reaching(triton: Triton, address: str, resolve: Resolve = resolved) -> None:
    """Every server that is behind the address now, until cancelled.

    gRPC asks for a name again only when a connection ends, and would never call a server that came later.
    """
    while True:
        addresses = await resolve(address)
        # A name that nobody knows for a moment is no reason to leave.
        if addresses and triton.reach(addresses):
            log.info("triton_reached", at=list(addresses))
        await asyncio.sleep(_LOOK_SECONDS)


class Replicas:
    """`triton` is the client of the one address, and the only replica while no more are known."""

    def __init__(self, triton: Triton, address: str, deadline_seconds: float, resolve: Resolve = resolved) -> None:
        self._triton = triton
        self._address = address
        self._deadline = deadline_seconds
        self._resolve = resolve
        self._clients: dict[str, Triton] = {}
        self._looked_at = float("-inf")

    async def all(self) -> Mapping[str, Triton]:
        """By address."""
        if time.monotonic() - self._looked_at > _KNOWN_FOR_SECONDS:
            await self._look()
        return self._clients or {self._address: self._triton}

    async def states(self) -> Mapping[str, States]:
        """Of every replica that answers. Raises PartAway when none does."""
        replicas = await self.all()
        answers = await asyncio.gather(*(one.states() for one in replicas.values()), return_exceptions=True)
        found: dict[str, States] = {}
        away: PartAway | None = None
        for address, answer in zip(replicas, answers, strict=True):
            if isinstance(answer, PartAway):
                away = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[address] = answer
        if not found and away is not None:
            raise away
        return found

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _look(self) -> None:
        addresses = await self._resolve(self._address)
        wanted = addresses if len(addresses) > 1 else ()
        for gone in self._clients.keys() - set(wanted):
            await self._clients.pop(gone).close()
        for new in set(wanted) - self._clients.keys():
            self._clients[new] = Triton(new, self._deadline)
        self._looked_at = time.monotonic()


async def _looked_up(address: str) -> set[tuple[int, str, str]]:
    host, _, port = address.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {(int(family), str(where[0]), port) for family, _, _, _, where in found}
