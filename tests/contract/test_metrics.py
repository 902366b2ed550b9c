"""docs/operations/metrics.md says what the processes count, and they count by the conventions of Prometheus."""

import re

import pytest

from tests.support.metrics_page import PAGE, PREFIXES, metrics, name_of, page

NAMES = [name_of(metric) for metric in metrics()]
_UNITS = ("_seconds", "_rows", "_events", "_total")


def test_the_page_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.support.metrics_page`"


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_on_the_page_and_says_whose_it_is(name: str) -> None:
    assert f"| `{name}` |" in PAGE.read_text()
    assert name.startswith(PREFIXES)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)


@pytest.mark.parametrize("metric", list(metrics()), ids=name_of)
def test_histograms_say_their_unit_and_labels_are_few(metric: object) -> None:
    kind, name, labels = metric._type, name_of(metric), metric._labelnames  # type: ignore[attr-defined,arg-type]
    assert kind != "histogram" or name.endswith(_UNITS)
    assert len(labels) <= 3
    assert not {"model_run_id", "data_row_id", "workspace_id", "project_id"} & set(labels), "never one a thing"
