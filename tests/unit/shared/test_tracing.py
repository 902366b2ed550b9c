"""Traces when they are on, and that they are nothing at all when they are off."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.local.stack import ROOT
from shared.settings import TraceSettings
from shared.tracing import close_tracing, configure_tracing, span, trace_ids, traceparent, unseen
from tests.support.otlp_collector import Collector, collecting

_GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_SERVICES = "services.api.__main__, services.api.worker, services.inference.__main__, services.notifier.__main__"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        configure_tracing(_settings(found.url), "test")
        yield found
        close_tracing()


def _settings(endpoint: str | None) -> TraceSettings:
    return TraceSettings(otel_exporter_otlp_endpoint=endpoint)


def test_off_means_that_nothing_is_made() -> None:
    configure_tracing(_settings(None), "test")
    with span("one") as first, span("two") as second:
        assert first is second
        first.set(rows=1)
        assert traceparent() is None
        assert trace_ids() == {}


def test_services_do_not_import_it() -> None:
    code = f"import sys, {_SERVICES}; sys.exit('opentelemetry.sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_trace_goes_on_where_another_process_left_it(collector: Collector) -> None:
    with span("segment", parent=_GIVEN, rows=3), span("batch", batch__id="b"):
        handed_on = traceparent()
        ids = trace_ids()
    close_tracing()
    batch, segment = collector.spans
    assert (segment.trace_id, segment.parent_id) == tuple(_GIVEN.split("-")[1:3])
    assert (batch.trace_id, batch.parent_id) == (segment.trace_id, segment.span_id)
    assert handed_on == f"00-{batch.trace_id}-{batch.span_id}-01"
    assert ids == {"trace_id": batch.trace_id, "span_id": batch.span_id}
    assert (segment.service, segment.attributes["rows"], batch.attributes["batch.id"]) == ("prelabel-test", "3", "b")


@pytest.mark.parametrize("parent", ["", "nonsense", "00-0-0-01"])
def test_what_is_no_traceparent_begins_a_trace(collector: Collector, parent: str) -> None:
    with span("around"), span("segment", parent=parent):
        pass
    close_tracing()
    segment, around = collector.spans
    assert segment.parent_id == ""
    assert segment.trace_id != around.trace_id


def test_what_is_unseen_stays_so_below(collector: Collector) -> None:
    with span("segment"), unseen(), span("batch"):
        handed_on = traceparent()
    close_tracing()
    assert [one.name for one in collector.spans] == ["segment"]
    assert handed_on is not None
    assert handed_on.endswith("-00"), "whoever goes on with it leaves it out too"


def test_an_error_goes_through(collector: Collector) -> None:
    with pytest.raises(KeyError), span("segment"):
        raise KeyError("x")
    close_tracing()
    assert [one.name for one in collector.spans] == ["segment"]
