"""The installation as HTTP shows it. Nothing here holds an address or a secret."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.parts import PartHealth
from shared.contracts.event import RunPurpose

Scope = Literal["workspace", "installation"]


class Versions(BaseModel):
    prelabel: str = Field(examples=["0.1.0"], description="of the process that answers")
    python: str = Field(examples=["3.12.12"])
    postgresql: str = Field(examples=["18.6"])
    migration: str | None = Field(examples=["20261125_traces"], description="the newest that the database has")


class QueueDepth(BaseModel):
    """Runs, or previews, that have not ended."""

    purpose: RunPurpose
    queued: int
    running: int
    stalled: int
    rows_to_do: int = Field(description="data rows that no ended segment has done")
    open_segments: int = Field(description="pieces of work that no worker holds")
    oldest_seconds: float = Field(
        description="of the one that could go on and was served longest ago: time since then, or since its submit"
    )


class OperationDepth(BaseModel):
    queued: int
    running: int
    oldest_seconds: float = Field(description="time since the oldest queued one was asked for")


class Process(BaseModel):
    """One that said within the last minute that it lives."""

    service: Literal["api", "operations", "inference", "notifier"]
    purpose: Literal["run", "preview"] | None = Field(description="of inference workers: what they take")
    name: str | None = Field(examples=["inference-7d4f:1"], description="host and process; for operators alone")
    version: str = Field(examples=["0.1.0"])
    started_at: datetime
    heartbeat_at: datetime


class ModelState(BaseModel):
    """A model on Triton, or on the server it was registered at, as workers last saw it."""

    model_config = ConfigDict(protected_namespaces=())

    id: UUID
    slug: str
    version: str
    state: str = Field(examples=["ready"])
    state_reason: str | None
    state_changed_at: datetime
    workspace_id: UUID | None = Field(description="null for a built-in model")


class System(BaseModel):
    """`scope` says whose queues and models are shown: those of the workspace, or, to operators, all."""

    scope: Scope
    at: datetime = Field(description="by the database's clock")
    versions: Versions
    parts: dict[str, PartHealth]
    queue: list[QueueDepth]
    operations: OperationDepth
    processes: list[Process]
    models: list[ModelState]
