"""Fixtures every test may use. Real parts: `tests/support/servers.py`; the whole stack: `tests/support/stack.py`."""

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
