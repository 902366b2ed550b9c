"""Faults, each written into the history. Services go by their names in the world, servers by those in the stack."""

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import asyncpg
import redis.asyncio as redis
import tritonclient.grpc.aio as triton_client

if TYPE_CHECKING:
    from tests.faults.harness.history import History
    from tests.faults.harness.world import World

SERVERS = ("postgres", "valkey", "triton")


class Faults:
    def __init__(self, world: "World", history: "History") -> None:
        self._world, self._history = world, history

    def note(self, what: str, *names: str) -> None:
        self._history.fault(" ".join([what, *names]))

    def kill(self, *names: str) -> None:
        """SIGKILL. Whoever keeps it running starts it again."""
        self.note("kill", *names)
        if servers := [name for name in names if name in SERVERS]:
            self._world.stack.kill(*servers)
        self._world.processes.kill(*(name for name in names if name not in SERVERS))

    def stop(self, *names: str) -> None:
        """SIGSTOP: it is there, and does nothing."""
        self.note("stop", *names)
        self._signal(signal.SIGSTOP, *names)

    def cont(self, *names: str) -> None:
        self.note("cont", *names)
        self._signal(signal.SIGCONT, *names)

    def term(self, *names: str) -> None:
        """SIGTERM: it may finish what it has begun, and is started again."""
        self.note("term", *names)
        self._signal(signal.SIGTERM, *names)

    def interrupt(self, *names: str) -> None:
        """SIGINT: PostgreSQL ends its connections and then itself, in order; it is started again."""
        self.note("interrupt", *names)
        self._signal(signal.SIGINT, *names)

    async def down(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a service and leave it down; `world.start` brings it back."""
        self.note("down", name)
        await self._world.processes.end(name, number)

    async def pause(self, seconds: float, *names: str) -> None:
        """SIGSTOP, so many seconds, SIGCONT."""
        self.stop(*names)
        await asyncio.sleep(seconds)
        self.cont(*names)

    async def kill_everything(self) -> None:
        """All services and all servers at once; afterwards everything runs again."""
        self.note("kill everything")
        processes = self._world.processes
        names = processes.names()
        for name in names:  # held still first, so that none sees another one die
            processes.send(name, signal.SIGSTOP)
        self._world.stack.kill()
        processes.kill(*names)
        await asyncio.to_thread(self._world.stack.start)
        for name in names:
            await processes.until_ready(name)

    async def flush_redis(self) -> None:
        self.note("flushall")
        client = redis.Redis.from_url(self._world.addresses.redis_url)
        await client.flushall()
        await client.aclose()

    async def kill_backends(self, application: str, *, limit: int = 1) -> int:
        """Connections of a service to PostgreSQL are ended by the server, `COMMIT` and all. Says how many."""
        connection = await asyncpg.connect(self._world.addresses.database_url)
        try:
            found = await connection.fetch(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name LIKE $1 AND pid <> pg_backend_pid()
                     AND datname = current_database() LIMIT $2""",
                f"{application}%",
                limit,
            )
        finally:
            await connection.close()
        self.note(f"kill {len(found)} backends of", application)
        return len(found)

    async def unload(self, model: str) -> None:
        self.note("unload", model)
        async with triton_client.InferenceServerClient(self._world.addresses.triton_url) as client:
            await client.unload_model(model)

    async def reload(self, model: str) -> None:
        self.note("load", model)
        async with triton_client.InferenceServerClient(self._world.addresses.triton_url) as client:
            await client.load_model(model)

    def _signal(self, number: int, *names: str) -> None:
        for name in names:
            if name in SERVERS:
                service = self._world.stack.status().services[name]
                if service.process is not None:
                    _signal_group(service.process.pid, number)
            else:
                self._world.processes.send(name, number)


def _signal_group(leader: int, number: int) -> None:
    """PostgreSQL and Triton are several processes, in sessions of their own each."""
    os.killpg(leader, number)
