"""Fixtures every test may use. Real parts: `tests/support/servers.py`; the whole stack: `tests/support/stack.py`."""

import pytest

from tests.support.servers import (
    database_url,
    object_store_url,
    redis_url,
    servers,
    service_environment,
    triton_url,
)
from tests.support.stack import gateway, stack

__all__ = [
    "database_url",
    "gateway",
    "object_store_url",
    "redis_url",
    "servers",
    "service_environment",
    "stack",
    "triton_url",
]

_SERVERS = {"servers", "stack", "fault_world", "arena"}
"""Fixtures of the session that cost many seconds to start."""


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one of several processes takes together: the tests of the whole stack, and those of a file with servers."""
    for item in items:
        used = _SERVERS & set(getattr(item, "fixturenames", ()))
        if used:
            name = min(used - {"servers"}, default=item.path.name)
            item.add_marker(pytest.mark.xdist_group(name))
