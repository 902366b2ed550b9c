"""The api and two workspaces in it, so that every test can look for what must not be seen."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from deploy.local.stack import Addresses
from services.api.access.principal import Role
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.servers import fresh_database


@pytest.fixture(scope="session")
def api_servers(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """URLs of a database for all tests of the api, each in workspaces of its own, and of Redis.

    Those in TEST_DATABASE_URL and TEST_REDIS_URL are taken if they are set.
    """
    if "TEST_DATABASE_URL" in os.environ:
        yield os.environ["TEST_DATABASE_URL"], os.environ["TEST_REDIS_URL"]
        return
    servers: Addresses = request.getfixturevalue("servers")
    with fresh_database(servers) as url:
        yield url, servers.redis_url


@pytest_asyncio.fixture
async def api(api_servers: tuple[str, str], tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(api_settings(*api_servers, tmp_path / "objects")) as api:
        yield api


@pytest_asyncio.fixture
async def workspace(api: Api) -> Workspace:
    return await api.workspace()


@pytest_asyncio.fixture
async def elsewhere(api: Api) -> Workspace:
    """Another tenant."""
    return await api.workspace("elsewhere")


@pytest_asyncio.fixture
async def admin(api: Api, workspace: Workspace) -> httpx2.AsyncClient:
    return api.as_(workspace)


@pytest_asyncio.fixture
async def viewer(api: Api, workspace: Workspace) -> httpx2.AsyncClient:
    return api.as_(workspace, Role.VIEWER)
