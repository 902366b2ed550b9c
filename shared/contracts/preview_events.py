"""Events of previews. None notifies, and none is a run's: nothing of a preview is for review."""

from uuid import UUID

from shared.contracts.event import ProjectEvent, RunState


class PreviewEvent(ProjectEvent):
    """The preview as it was right after the change. No run's event, and none notifies: nothing of it is for review."""

    subject_kind = "preview"

    preview_id: UUID
    state: RunState
    reason: str | None = None
    alignment_version: int
    total: int
    succeeded: int
    failed: int
    skipped: int
    detections: int


class PreviewQueued(PreviewEvent):
    type = "preview.queued"


class PreviewStarted(PreviewEvent):
    type = "preview.started"


class PreviewStalled(PreviewEvent):
    type = "preview.stalled"


class PreviewUnstalled(PreviewEvent):
    type = "preview.unstalled"


class PreviewCompleted(PreviewEvent):
    type = "preview.completed"


class PreviewCompletedWithErrors(PreviewEvent):
    type = "preview.completed_with_errors"


class PreviewCancelled(PreviewEvent):
    type = "preview.cancelled"


class PreviewFailed(PreviewEvent):
    type = "preview.failed"


class PreviewRealigned(PreviewEvent):
    """What it shows follows a new version of its alignment."""

    type = "preview.realigned"


class PreviewDeleted(ProjectEvent):
    """By somebody, or because newer ones took its place."""

    type = "preview.deleted"
    subject_kind = "preview"

    preview_id: UUID
