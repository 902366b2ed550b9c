"""A real notifier process, a small tenant to log events in, and a client that speaks the protocol."""

import asyncio
import hashlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect

from deploy.local.stack import ROOT, Addresses
from shared.api_keys import new_api_key_secret
from shared.contracts.event import Event
from shared.contracts.events import ModelRunStarted, ProjectUpdated
from shared.contracts.messages import SERVER_MESSAGE, SUBPROTOCOL
from shared.database.engine import Sessions, create_engine, create_sessions
from shared.database.event_log import create_stream
from shared.database.tables import (
    ApiKeyRow,
    MemberRow,
    ModelRunRow,
    ProjectRow,
    SegmentRow,
    WebsocketTicketRow,
    WorkspaceRow,
)
from shared.database.unit_of_work import transaction, unit_of_work
from shared.hints import Hints
from shared.ids import new_id
from shared.queue import JobQueue
from shared.run_configuration import RunConfiguration, Sample
from shared.settings import SharedSettings
from shared.signals import Signals
from tests.support.cards import built, card
from tests.support.runs import add_model
from tests.support.servers import migrate

Message = dict[str, Any]
# What runs here is never behind a proxy, whatever the environment says.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotifierProcess:
    """`python -m services.notifier` on a free port."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._port = _free_port()
        self.url = f"ws://127.0.0.1:{self._port}/v1/ws"
        self.http_url = f"http://127.0.0.1:{self._port}"
        self._environment = {**os.environ, **environment, "NOTIFIER_PORT": str(self._port)}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was started"
        return self._process.pid

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.notifier"], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        until = time.monotonic() + 60
        while not self._is_ready():
            if time.monotonic() > until or self._process.poll() is not None:
                raise AssertionError(f"the notifier did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """As an orchestrator does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def kill(self) -> None:
        """It ends nothing that it began."""
        assert self._process is not None, "it was started"
        self._process.kill()
        self._process.wait()
        self._process = None

    def metric(self, name: str) -> float:
        """Its value, summed over labels."""
        lines = self._get("metrics").decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.split("[ {]", line)[0] == name)

    def _is_ready(self) -> bool:
        try:
            self._get("readyz")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> bytes:
        with _OPENER.open(f"http://127.0.0.1:{self._port}/{path}", timeout=5) as answer:
            body: bytes = answer.read()
            return body


@contextmanager
def running_notifier(environment: Mapping[str, str], log: Path) -> Iterator[NotifierProcess]:
    process = NotifierProcess(environment, log)
    try:
        process.start()
        yield process
    finally:
        process.stop()
    assert "Traceback" not in log.read_text()


@dataclass(frozen=True)
class Tenant:
    """One workspace with a member, their key and a project."""

    sessions: Sessions
    signals: Signals
    workspace_id: UUID
    member_id: UUID
    api_key_id: UUID
    project_id: UUID
    api_key: str

    async def ticket(self, lifetime_seconds: float = 30) -> str:
        ticket = secrets.token_urlsafe(32)
        async with transaction(self.sessions) as session:
            session.add(
                WebsocketTicketRow(
                    ticket_sha256=hashlib.sha256(ticket.encode()).digest(),
                    workspace_id=self.workspace_id,
                    member_id=self.member_id,
                    api_key_id=self.api_key_id,
                    role="viewer",
                    expires_at=datetime.now(UTC) + timedelta(seconds=lifetime_seconds),
                )
            )
        return ticket

    async def log(self, *events: Event, signals: Signals | None = None) -> None:
        async with unit_of_work(self.sessions, signals or self.signals, "service:test") as work:
            for event in events:
                work.emit(event)

    async def add_run(self, total: int = 10) -> UUID:
        run_id = new_id()
        async with transaction(self.sessions) as session:
            run = ModelRunRow(
                id=run_id,
                workspace_id=self.workspace_id,
                project_id=self.project_id,
                configuration={},
                total=total,
                state="running",
                created_by=self.member_id,
            )
            session.add(run)
            await session.flush()
            session.add(
                SegmentRow(
                    workspace_id=self.workspace_id,
                    project_id=self.project_id,
                    model_run_id=run_id,
                    execution=1,
                    ordinal=0,
                    data_row_ids=[],
                    state="leased",
                    succeeded=3,
                    failed=1,
                    detections=7,
                )
            )
        return run_id

    async def add_preview(self) -> UUID:
        """With half of its sample done."""
        model = built(card("told-of", "bounding_box", ("cat",)))
        model_id = await add_model(self.sessions, model.card)
        configuration = RunConfiguration(
            catalog_model_id=model_id,
            digest=model.digest,
            triton_model=model.triton_name,
            card=model.card,
            floor=model.card.floor,
            ontology_version=1,
            sample=Sample(method="random", size=10, seed=1),
        )
        preview_id = await self.add_run()
        async with transaction(self.sessions) as session:
            preview = await session.get_one(ModelRunRow, preview_id)
            preview.purpose, preview.catalog_model_id = "preview", model_id
            preview.configuration = configuration.model_dump(mode="json")
        return preview_id

    def updated(self, revision: int) -> ProjectUpdated:
        return ProjectUpdated(workspace_id=self.workspace_id, project_id=self.project_id, revision=revision)

    def run_started(self, model_run_id: UUID) -> ModelRunStarted:
        return ModelRunStarted(**self.run_facts(model_run_id))

    def run_facts(self, model_run_id: UUID) -> dict[str, Any]:
        return {
            "workspace_id": self.workspace_id,
            "project_id": self.project_id,
            "model_run_id": model_run_id,
            "state": "running",
            "execution": 1,
            "total": 10,
            "succeeded": 3,
            "failed": 1,
            "skipped": 0,
            "detections": 7,
        }


def notifier_environment(servers: Addresses) -> dict[str, str]:
    """What a notifier reads, with a migrated database of its own."""
    url = f"{servers.database_url.rpartition('/')[0]}/notifier_{uuid4().hex}"
    migrate(url)
    return {
        "DATABASE_URL": url,
        "REDIS_URL": servers.redis_url,
        "SECRET_KEY": servers.secret_key,
        "LOG_LEVEL": "WARNING",
    }


@asynccontextmanager
async def tenants(environment: Mapping[str, str]) -> AsyncIterator[Callable[[], Awaitable[Tenant]]]:
    """Makes tenants in the database of a notifier."""
    redis_url = environment["REDIS_URL"]
    settings = SharedSettings(database_url=SecretStr(environment["DATABASE_URL"]), redis_url=SecretStr(redis_url))
    engine = create_engine(settings, "test")
    signals = Signals(JobQueue(redis_url), Hints(redis_url))
    sessions = create_sessions(engine)
    yield lambda: make_tenant(sessions, signals)
    await signals.close()
    await engine.dispose()


async def make_tenant(sessions: Sessions, signals: Signals) -> Tenant:
    secret = new_api_key_secret(new_id())
    tenant = Tenant(sessions, signals, new_id(), new_id(), secret.api_key_id, new_id(), str(secret))
    async with transaction(sessions) as session:
        session.add(WorkspaceRow(id=tenant.workspace_id, name="test"))
        await session.flush()
        session.add(MemberRow(id=tenant.member_id, workspace_id=tenant.workspace_id, name="somebody", role="viewer"))
        session.add(ProjectRow(id=tenant.project_id, workspace_id=tenant.workspace_id, name="p", media_type="image"))
        create_stream(session, tenant.workspace_id, tenant.workspace_id, "workspace")
        create_stream(session, tenant.project_id, tenant.workspace_id, "project")
        await session.flush()
        session.add(
            ApiKeyRow(
                id=tenant.api_key_id,
                workspace_id=tenant.workspace_id,
                member_id=tenant.member_id,
                name="key",
                secret_sha256=secret.sha256(),
            )
        )
    return tenant


class Listener:
    """One connection. Answers pings; every message it reads has to fit the published classes."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **message: object) -> None:
        await self.socket.send(json.dumps(message, default=str))

    async def read(self, timeout_seconds: float = 5) -> Message:
        """The next message that is no ping."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                text = await self.socket.recv()
                SERVER_MESSAGE.validate_json(text)
                message: Message = json.loads(text)
                if message["type"] != "ping":
                    return message
                await self.send(type="pong")

    async def read_many(self, count: int) -> list[Message]:
        return [await self.read() for _ in range(count)]

    async def init(self, ticket: str) -> Message:
        await self.send(type="init", ticket=ticket)
        return await self.read()

    async def subscribe(self, subscription_id: str, topic: str, after: Mapping[str, object] | None = None) -> Message:
        await self.send(type="subscribe", id=subscription_id, topic=topic, **({"after": after} if after else {}))
        return await self.read()

    async def close_code(self, timeout_seconds: float = 5) -> int | None:
        """Read on until the server closes; its code."""
        async with asyncio.timeout(timeout_seconds):
            await self.socket.wait_closed()
        return self.socket.close_code


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Listener]:
    """A connection before `init`."""
    options.setdefault("subprotocols", [SUBPROTOCOL])
    async with connect(url, max_size=None, compression=None, proxy=None, **options) as socket:
        yield Listener(socket)


@asynccontextmanager
async def listening(notifier: NotifierProcess, tenant: Tenant, **options: Any) -> AsyncIterator[Listener]:
    """A connection that is ready."""
    async with connected(notifier.url, **options) as listener:
        assert (await listener.init(await tenant.ticket()))["type"] == "ready"
        yield listener


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
