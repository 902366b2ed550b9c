"""The api in this process on a PostgreSQL of its own, started for one bench and removed afterwards."""

import asyncio
import math
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx2

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from services.api.access.principal import Role
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.finished import CLASSES, Features
from tests.support.servers import fresh_database, migrate
from tests.support.world import World


@dataclass(frozen=True)
class ApiStage:
    """A project with one box tool a class."""

    api: Api
    client: httpx2.AsyncClient
    workspace: Workspace
    world: World
    features: Features
    database_url: str


@asynccontextmanager
async def api_stage(name: str) -> AsyncIterator[ApiStage]:
    options = StackOptions(state=ROOT / "var" / f"bench-{name}", free_ports=True, servers_only=True)
    folder = ROOT / "var" / f"bench-{name}-objects"
    with StackProcess(options) as stack:
        url = stack.addresses.database_url
        await asyncio.to_thread(migrate, f"{url.rpartition('/')[0]}/prelabel_template")
        own = await asyncio.to_thread(fresh_database(stack.addresses).__enter__)
        try:
            async with running_api(api_settings(own, stack.addresses.redis_url, folder)) as api:
                yield await _stage(api, own)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def _stage(api: Api, database_url: str) -> ApiStage:
    workspace = await api.workspace("bench")
    client = api.as_(workspace)
    ontology = {"tools": [{"type": "bounding_box", "name": name} for name in CLASSES]}
    body = {"name": "bench", "media_type": "image", "ontology": ontology}
    project = (await client.post("/v1/projects", json=body)).json()["id"]
    tools = (await client.get(f"/v1/projects/{project}/ontology")).json()["tools"]
    member = workspace.members[Role.EDITOR]
    world = World(api.resources.sessions, api.resources.store, workspace.id, UUID(project), member)
    features = Features({tool["name"]: UUID(tool["id"]) for tool in tools})
    return ApiStage(api, client, workspace, world, features, database_url)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, math.ceil(len(values) * 0.99) - 1)]
