"""A notifier with real PostgreSQL and Valkey, a tenant whose project grows, and programs that obey lines of JSON."""

import asyncio
import hashlib
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from shared.contracts.jobs import Doorbell
from shared.database.event_log import LoggedEvent, read_events
from shared.database.tables import StreamRow, WebsocketTicketRow
from shared.database.unit_of_work import transaction
from shared.hints import Hints
from shared.queue import JobQueue
from shared.signals import Signals
from tests.support.notifier import NotifierProcess, Tenant, notifier_environment, tenants

PATIENCE_SECONDS = 240
_LINE_BYTES = 1024 * 1024


class Program:
    """A process that answers each line it is sent with one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def ask(self, **order: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(order, default=str) + "\n").encode())
        await self._process.stdin.drain()
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("it ended before it answered")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def program(module: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(frozen=True)
class NotifierStage:
    notifier: NotifierProcess
    tenant: Tenant
    commits: "CommitTimes"
    folder: Path

    @property
    def topic(self) -> str:
        return f"project:{self.tenant.project_id}"

    async def head(self) -> int:
        return int((await self.position())["offset"])

    async def position(self) -> dict[str, Any]:
        """Where the log stands, as `after` wants it."""
        async with self.tenant.sessions() as session:
            stream = await session.get_one(StreamRow, self.tenant.project_id)
        return {"epoch": str(stream.epoch), "offset": stream.last_offset}

    async def one_event(self) -> LoggedEvent:
        """As it stands in the log."""
        await self.log(1)
        async with self.tenant.sessions() as session:
            (event,) = await read_events(session, self.tenant.project_id, await self.head() - 1, 1)
        return event

    async def log(self, count: int, **more: Any) -> None:
        """So many events in one transaction."""
        event = self.tenant.updated(1).model_copy(update=more)
        await self.tenant.log(*([event] * count), signals=self.commits)

    @asynccontextmanager
    async def crowd(self, clients: int, tickets: int = 0, **orders: object) -> AsyncIterator[Program]:
        """All of them connected and subscribed."""
        address = urlsplit(self.notifier.url)
        file = self.folder / f"tickets-{secrets.token_hex(4)}"
        file.write_text("\n".join(await self.tickets(tickets or clients)))
        async with program("tests.bench.notifier.crowd") as crowd:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await crowd.ask(
                    host=address.hostname,
                    port=address.port,
                    clients=clients,
                    topic=self.topic,
                    tickets=str(file),
                    **orders,
                )
            yield crowd

    async def tickets(self, count: int) -> Sequence[str]:
        made = [secrets.token_urlsafe(32) for _ in range(count)]
        tenant, expires_at = self.tenant, datetime.now(UTC) + timedelta(hours=1)
        async with transaction(tenant.sessions) as session:
            session.add_all(
                WebsocketTicketRow(
                    ticket_sha256=hashlib.sha256(ticket.encode()).digest(),
                    workspace_id=tenant.workspace_id,
                    member_id=tenant.member_id,
                    api_key_id=tenant.api_key_id,
                    role="viewer",
                    expires_at=expires_at,
                )
                for ticket in made
            )
        return made


class CommitTimes(Signals):
    """Signals that note when they are sent, which is when the transaction is committed."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(JobQueue(redis_url), Hints(redis_url))
        self.last = 0

    async def send(self, doorbells: Mapping[Doorbell, int], streams: Sequence[UUID]) -> None:
        self.last = time.monotonic_ns()
        await super().send(doorbells, streams)


@asynccontextmanager
async def notifier_stage(name: str) -> AsyncIterator[NotifierStage]:
    state = ROOT / "var" / f"bench-{name}"
    stack = StackProcess(StackOptions(state=state, free_ports=True, servers_only=True))
    async with AsyncExitStack() as exits:
        exits.push_async_callback(asyncio.to_thread, stack.remove)
        with _without_triton():
            await asyncio.to_thread(stack.start)
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        environment = await asyncio.to_thread(notifier_environment, stack.addresses)
        notifier = NotifierProcess(environment, folder / "log")
        exits.push_async_callback(asyncio.to_thread, notifier.stop)
        await asyncio.to_thread(notifier.start)
        commits = CommitTimes(environment["REDIS_URL"])
        exits.push_async_callback(commits.close)
        make = await exits.enter_async_context(tenants(environment))
        yield NotifierStage(notifier, await make(), commits, folder)


@contextmanager
def _without_triton() -> Iterator[None]:
    """An address in the environment says that it is somebody else's. Here nobody asks it for more than to listen."""
    before = os.environ.get("TRITON_URL")
    try:
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            os.environ["TRITON_URL"] = f"127.0.0.1:{nobody.getsockname()[1]}"
            yield
    finally:
        del os.environ["TRITON_URL"]
        if before is not None:
            os.environ["TRITON_URL"] = before
