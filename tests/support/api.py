"""The api through its front door: the real application over ASGI, on real PostgreSQL and Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import UUID

import httpx2
import structlog
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.routing import BaseRoute

from services.api.access.principal import Role
from services.api.access.schemas import ApiKeyCreate, MemberCreate
from services.api.access.service import add_api_key, add_member, create_workspace
from services.api.app import create_app
from services.api.resources import Resources
from services.api.settings import ApiSettings
from shared.database.unit_of_work import unit_of_work


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant with a member and a key for each role."""

    id: UUID
    members: dict[Role, UUID]
    keys: dict[Role, str]


@dataclass(slots=True)
class Api:
    app: FastAPI
    client: httpx2.AsyncClient
    _open: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def resources(self) -> Resources:
        found: Resources = self.app.state.resources
        return found

    async def workspace(self, name: str = "tests") -> Workspace:
        async with unit_of_work(self.resources.sessions, self.resources.signals, "service:tests") as work:
            row = await create_workspace(work, name)
            members, keys = {}, {}
            for role in Role:
                member = await add_member(work.session, row.id, MemberCreate(name=f"the {role}", role=role))
                _, secret = await add_api_key(work, member, ApiKeyCreate(name=f"key of the {role}"))
                members[role], keys[role] = member.id, str(secret)
        return Workspace(row.id, members, keys)

    def as_(self, workspace: Workspace, role: Role = Role.ADMIN) -> httpx2.AsyncClient:
        """A client with the key of that role."""
        return self.with_key(workspace.keys[role])

    def with_key(self, key: str) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://api",
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
        )
        self._open.append(client)
        return client

    async def close(self) -> None:
        for client in self._open:
            await client.aclose()


def api_settings(database_url: str, redis_url: str, folder: Path) -> ApiSettings:
    return ApiSettings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        object_store_url=f"file://{folder}",
        secret_key=SecretStr("a secret for tests only"),
        allowed_content_hosts=("images.example.org",),
        public_notifier_url="ws://127.0.0.1:8001/v1/ws",
    )


@cache
def _routes() -> list[BaseRoute]:
    """They know nothing of the application they are in: it comes with each request."""
    return create_app(api_settings("postgresql://nowhere/none", "redis://nowhere", Path("nowhere"))).routes


@asynccontextmanager
async def running_api(settings: ApiSettings) -> AsyncIterator[Api]:
    # Plain tracebacks: structlog's own take seconds each, for all the local variables they show.
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(),
        ]
    )
    app = create_app(settings)
    # FastAPI puts them together at their first request, which takes longer than most tests.
    app.router.routes[:] = _routes()
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://api") as client,
    ):
        api = Api(app, client)
        yield api
        await api.close()
