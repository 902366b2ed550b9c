"""Fixtures every test may use. Real parts: `tests/support/servers.py`; the whole stack: `tests/support/stack.py`."""

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

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

settings.register_profile("prelabel", deadline=None)
settings.load_profile("prelabel")  # how long an example takes depends on what else the machine does

_WHOLE_STACK = ("tests/e2e/", "tests/faults/", "tests/integration/test_local_stack.py")
"""Where starting what the tests use takes longest: one of several processes takes them all."""
_REAL_PROCESSES = ("tests/e2e/", "tests/faults/", "tests/integration/")


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        """The tests of a file stay together, and those of the whole stack."""
        return _WHOLE_STACK[0] if nodeid.startswith(_WHOLE_STACK) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See docs/decisions/0024."""
    for item in items:
        if item.nodeid.startswith(_REAL_PROCESSES):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"failed, and was played again: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
