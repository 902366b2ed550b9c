"""What the dashboards ask is answered: SQL by the newest schema, Triton's metrics by a real one."""

import re
import urllib.request

import pytest

from deploy.local.stack import Addresses
from deploy.observability.run import RUN
from deploy.observability.triton import TRITON
from shared.ids import new_id
from tests.support.alerts import metrics_in
from tests.support.servers import connected

_ON_GPUS_ONLY = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes"}


@pytest.mark.parametrize("panel", RUN.panels, ids=lambda panel: panel.title)
async def test_the_dashboard_of_a_run_asks_what_the_schema_has(panel: object, database_url: str) -> None:
    (query,) = panel.queries.values()  # type: ignore[attr-defined]
    async with connected(database_url) as connection, connection.transaction(readonly=True):
        assert await connection.fetch(query.replace("${run}", str(new_id()))) == []


def test_triton_has_the_metrics_of_its_dashboard(servers: Addresses) -> None:
    assert servers.triton_metrics_url is not None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(servers.triton_metrics_url, timeout=10) as answer:
        there = set(re.findall(r"^# TYPE (\S+)", answer.read().decode(), re.MULTILINE))
    asked = {name for panel in TRITON.panels for query in panel.queries.values() for name in metrics_in(query)}
    of_triton = {name for name in asked if name.startswith("nv_")}
    assert of_triton - _ON_GPUS_ONLY <= there
