"""A notifier for the tests of a module, set by its `environment`, and tenants whose events it tells."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.notifier import NotifierProcess, Tenant, running_notifier, tenants


@pytest.fixture(scope="module")
def notifier(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotifierProcess]:
    with running_notifier(environment, tmp_path_factory.mktemp("notifier") / "log") as process:
        yield process


@pytest.fixture
async def tenant(environment: dict[str, str]) -> AsyncIterator[Tenant]:
    async with tenants(environment) as make:
        yield await make()


@pytest.fixture
async def stranger(environment: dict[str, str]) -> AsyncIterator[Tenant]:
    async with tenants(environment) as make:
        yield await make()
