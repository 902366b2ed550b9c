"""`python -m tests.bench.notifier.floor`: the least a server can do: it writes one encoded frame to all who connected.

Prints its port. Each line it reads is `{"frame": "<hex>", "times": N}`; it answers when all is handed to the kernel,
and says when it began, in nanoseconds of the machine's monotonic clock.
"""

import asyncio
import json
import sys
import time
from typing import cast

import uvloop


class _Connection(asyncio.Protocol):
    def __init__(self, floor: "Floor") -> None:
        self._floor = floor

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._floor.transports.append(cast(asyncio.Transport, transport))

    def pause_writing(self) -> None:
        self._floor.full += 1

    def resume_writing(self) -> None:
        self._floor.full -= 1
        if self._floor.full == 0:
            self._floor.room.set()


class Floor:
    def __init__(self) -> None:
        self.transports: list[asyncio.Transport] = []
        self.full = 0
        self.room = asyncio.Event()

    async def send(self, frame: bytes, times: int) -> None:
        for _ in range(times):
            for transport in self.transports:
                transport.write(frame)
            await asyncio.sleep(0)
            while self.full:
                self.room.clear()
                await self.room.wait()


async def main() -> None:
    loop, floor, lines = asyncio.get_running_loop(), Floor(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = await loop.create_server(lambda: _Connection(floor), "127.0.0.1", 0, backlog=4_096)
    _say(port=server.sockets[0].getsockname()[1])
    while line := await lines.readline():
        order, began = json.loads(line), time.monotonic_ns()
        await floor.send(bytes.fromhex(order["frame"]), order["times"])
        _say(sent=order["times"], began=began)


def _say(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
