"""What the log says of a run or a preview when it moves, whoever moves it."""

from typing import Any

from shared.contracts.event import Event, RunState
from shared.contracts.events import (
    ModelRunCancelled,
    ModelRunCompleted,
    ModelRunCompletedWithErrors,
    ModelRunEvent,
    ModelRunFailed,
    ModelRunPaused,
    ModelRunQueued,
    ModelRunResumed,
    ModelRunStalled,
    ModelRunStarted,
    ModelRunUnstalled,
)
from shared.contracts.preview_events import (
    PreviewCancelled,
    PreviewCompleted,
    PreviewCompletedWithErrors,
    PreviewEvent,
    PreviewFailed,
    PreviewQueued,
    PreviewStalled,
    PreviewStarted,
    PreviewUnstalled,
)
from shared.database.tables import ModelRunRow

RUN_EVENTS: dict[RunState, type[ModelRunEvent]] = {
    "queued": ModelRunQueued,
    "running": ModelRunStarted,
    "stalled": ModelRunStalled,
    "paused": ModelRunPaused,
    "completed": ModelRunCompleted,
    "completed_with_errors": ModelRunCompletedWithErrors,
    "cancelled": ModelRunCancelled,
    "failed": ModelRunFailed,
}

PREVIEW_EVENTS: dict[RunState, type[PreviewEvent]] = {
    "queued": PreviewQueued,
    "running": PreviewStarted,
    "stalled": PreviewStalled,
    "completed": PreviewCompleted,
    "completed_with_errors": PreviewCompletedWithErrors,
    "cancelled": PreviewCancelled,
    "failed": PreviewFailed,
}
"""A preview is never paused."""


def state_event(run: ModelRunRow) -> Event:
    """The event of the state it is in now, with its counters."""
    if run.purpose == "preview":
        return preview_event(run, PREVIEW_EVENTS[run.state])  # type: ignore[index]
    return RUN_EVENTS[run.state](**_run_facts(run))  # type: ignore[index]


def unstalled_event(run: ModelRunRow) -> Event:
    """It goes on after it was stalled."""
    if run.purpose == "preview":
        return preview_event(run, PreviewUnstalled)
    return ModelRunUnstalled(**_run_facts(run))


def resumed_event(run: ModelRunRow) -> Event:
    """It is queued again after it was paused."""
    return ModelRunResumed(**_run_facts(run))


def preview_event(run: ModelRunRow, event: type[PreviewEvent]) -> PreviewEvent:
    return event(preview_id=run.id, alignment_version=run.alignment_version, **_facts(run))


def _run_facts(run: ModelRunRow) -> dict[str, Any]:
    return {"model_run_id": run.id, "execution": run.execution, **_facts(run)}


def _facts(run: ModelRunRow) -> dict[str, Any]:
    return {
        "workspace_id": run.workspace_id,
        "project_id": run.project_id,
        "state": run.state,
        "reason": run.state_reason,
        "total": run.total,
        "succeeded": run.succeeded,
        "failed": run.failed,
        "skipped": run.skipped,
        "detections": run.detections,
    }
