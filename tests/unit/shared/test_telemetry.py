"""What is logged, and what is not."""

import logging
from collections.abc import Iterator

import httpx
import httpx2
import pytest
import structlog
from pydantic import SecretStr

from shared.settings import SharedSettings
from shared.telemetry import configure_logging

_LOGGERS = ("", "httpx", "httpx2", "httpcore", "httpcore2")


@pytest.fixture
def configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, levels = root.handlers, {name: logging.getLogger(name).level for name in _LOGGERS}
    settings = SharedSettings(
        database_url=SecretStr("postgresql://nowhere/nothing"),
        redis_url=SecretStr("redis://nowhere"),
        log_level="DEBUG",
    )
    configure_logging(settings, "test")
    yield
    root.handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


async def test_urls_that_are_asked_are_not_logged(configured: None, caplog: pytest.LogCaptureFixture) -> None:
    old = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    new = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(200)))
    for client in (old, new):
        async with client:
            await client.get("https://hooks.example.org/token")
    logging.getLogger("others").info("are heard")
    assert "are heard" in caplog.text
    assert "token" not in caplog.text
