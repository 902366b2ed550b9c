"""Structured logs, one line an event, with whatever ids are bound to the context."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from shared.settings import SharedSettings
from shared.tracing import trace_ids

_TELL_URLS = ("httpx", "httpx2", "httpcore", "httpcore2")
"""Loggers that write whole URLs of what is asked outside, and those hold tokens and signatures."""


def configure_logging(settings: SharedSettings, service: str) -> None:
    """Send everything, the standard library's records included, to stdout in one format."""
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    structlog.configure(
        processors=[
            *processors,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in _TELL_URLS:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    structlog.contextvars.bind_contextvars(service=service)


@contextmanager
def about(**ids: UUID | str) -> Iterator[None]:
    """What every line of the block says it is about, whoever writes it: `model_run_id`, `segment_id`, `batch_id`, …"""
    with structlog.contextvars.bound_contextvars(**{name: str(value) for name, value in ids.items()}):
        yield


def _add_trace(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event.update(trace_ids())
    return event


def logger(name: str) -> structlog.stdlib.BoundLogger:
    found: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return found
