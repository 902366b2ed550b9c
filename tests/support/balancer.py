"""A balancer of TCP connections that asks each server whether it is ready, as those in front of the services do."""

import asyncio
import itertools
from collections.abc import Coroutine, Mapping
from contextlib import suppress

_LOOK_SECONDS = 0.2
_ANSWER_SECONDS = 5.0
_PIECE_BYTES = 64 * 1024


class Balancer:
    """Connections go to ready servers in turn and stay where they went. `servers` are their ports, by name."""

    def __init__(self) -> None:
        self.servers: dict[str, int] = {}
        self._ready: set[str] = set()
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._keep(self._look())

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed is let go of in the next turn of the loop

    async def until_ready(self, *names: str, seconds: float = 60) -> None:
        """Until it sends connections to them."""
        async with asyncio.timeout(seconds):
            while not self._ready.issuperset(names):
                await asyncio.sleep(_LOOK_SECONDS / 4)

    async def _look(self) -> None:
        while True:
            known: Mapping[str, int] = dict(self.servers)
            answers = await asyncio.gather(*(_is_ready(port) for port in known.values()))
            self._ready = {name for name, ready in zip(known, answers, strict=True) if ready}
            await asyncio.sleep(_LOOK_SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = sorted(self._ready & self.servers.keys())
        if not ready:
            writer.close()
            return
        port = self.servers[ready[next(self._turn) % len(ready)]]
        try:
            there, to_there = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        self._keep(_pipe(reader, to_there))
        self._keep(_pipe(there, writer))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side has ended; then the other hears of it."""
    try:
        with suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                writer.write(piece)
                await writer.drain()
    finally:
        writer.close()


async def _is_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status
