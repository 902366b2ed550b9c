"""The api and two workspaces in it, so that every test can look for what must not be seen."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from services.api.access.principal import Role
from tests.support.api import Api, Workspace, api_settings, running_api


@pytest.fixture(scope="session")
def database_url() -> str:
    return os.environ["TEST_DATABASE_URL"]


@pytest.fixture(scope="session")
def redis_url() -> str:
    return os.environ["TEST_REDIS_URL"]


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(api_settings(database_url, redis_url, tmp_path / "objects")) as api:
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
