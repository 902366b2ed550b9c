"""Traces across api, queue, workers and Triton. Off unless an OTLP endpoint is set; then nothing of OpenTelemetry is
imported, and a span is one look at an attribute."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

from shared.settings import TraceSettings

Attribute: TypeAlias = str | int | float | bool
Kind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]


class Span(Protocol):
    def set(self, **attributes: Attribute) -> None: ...

    def rename(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """`parent` as in a `traceparent` header; None: whatever span is open in this context."""

    name: str
    kind: Kind
    parent: str | None
    attributes: Mapping[str, Attribute]


class Traces(Protocol):
    """What `shared.otlp` does once it is switched on."""

    def span(self, wanted: Wanted) -> AbstractContextManager[Span]: ...

    def unseen(self) -> AbstractContextManager[Span]: ...

    def traceparent(self) -> str | None: ...

    def ids(self) -> Mapping[str, str]: ...

    def close(self) -> None: ...


class _Nothing:
    """The span of a process that traces nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def set(self, **attributes: Attribute) -> None:
        del attributes

    def rename(self, name: str) -> None:
        del name


class _Switch:
    traces: Traces | None = None


_NOTHING = _Nothing()


def configure_tracing(settings: TraceSettings, service: str) -> None:
    """Once, at the start of a process."""
    if settings.otel_exporter_otlp_endpoint:
        # By name: without the extra `traces` the package need not be there.
        _Switch.traces = import_module("shared.otlp").open_traces(settings.otel_exporter_otlp_endpoint, service)


def close_tracing() -> None:
    """Send what is left, and trace nothing from now on."""
    if _Switch.traces is not None:
        _Switch.traces.close()
        _Switch.traces = None


def span(
    name: str, *, kind: Kind = "internal", parent: str | None = None, **attributes: Attribute
) -> AbstractContextManager[Span]:
    """Everything in the block, and what is started there, belongs to it."""
    if _Switch.traces is None:
        return _NOTHING
    return _Switch.traces.span(Wanted(name, kind, parent, attributes))


def unseen() -> AbstractContextManager[Span]:
    """What is done in the block is left out of the trace."""
    return _NOTHING if _Switch.traces is None else _Switch.traces.unseen()


def traceparent() -> str | None:
    """Of the open span, for whoever goes on with the work elsewhere; None when nothing is traced."""
    return None if _Switch.traces is None else _Switch.traces.traceparent()


def trace_ids() -> Mapping[str, str]:
    """For the log: `trace_id` and `span_id`, when a span is open."""
    return {} if _Switch.traces is None else _Switch.traces.ids()
