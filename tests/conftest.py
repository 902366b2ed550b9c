"""Fixtures every test may use. Real parts: `tests/support/servers.py`."""

from tests.support.servers import (
    database_url,
    object_store_url,
    redis_url,
    servers,
    service_environment,
    triton_url,
)

__all__ = ["database_url", "object_store_url", "redis_url", "servers", "service_environment", "triton_url"]
