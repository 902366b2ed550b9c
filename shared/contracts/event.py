"""What every event is."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

RunState = Literal[
    "queued",
    "running",
    "stalled",
    "paused",
    "completed",
    "completed_with_errors",
    "cancelled",
    "failed",
]
RunPurpose = Literal["run", "preview", "import"]
SubjectKind = Literal[
    "project", "model_run", "preview", "data_row", "batch", "model", "api_key", "operation", "webhook", "policy"
]


class Event(BaseModel):
    """What happened. Lies in the project's stream where it is of a project, else in the workspace's.

    One that `notifies` is in the workspace's stream too, where the notifications list reads it.
    """

    # An undeclared field is a contract bug: fail at construction, not in a client.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    type: ClassVar[str]
    version: ClassVar[int] = 1
    notifies: ClassVar[bool] = False
    subject_kind: ClassVar[SubjectKind]

    workspace_id: UUID

    def subject_id(self) -> UUID:
        found: UUID = getattr(self, f"{self.subject_kind}_id")
        return found

    def of_project(self) -> UUID | None:
        return None


class ProjectEvent(Event):
    project_id: UUID

    def of_project(self) -> UUID | None:
        return self.project_id
