"""Settings of the api."""

from uuid import UUID

from pydantic import Field

from shared.settings import (
    EgressSettings,
    ObjectStoreSettings,
    OperationSettings,
    OwnModelSettings,
    PageTokenSettings,
    ServingSettings,
    SharedSettings,
    TraceSettings,
    WebhookHostSettings,
)


class ApiSettings(
    SharedSettings,
    TraceSettings,
    ObjectStoreSettings,
    EgressSettings,
    PageTokenSettings,
    OwnModelSettings,
    ServingSettings,
    WebhookHostSettings,
):
    api_host: str = Field(default="127.0.0.1", description="address the api listens on")
    api_port: int = Field(default=8000, ge=0, le=65535, description="port the api listens on")
    public_notifier_url: str | None = Field(
        default=None,
        description="websocket address browsers reach the notifier at, as wss://host/v1/ws; stands beside each ticket",
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(),
        description='origins whose pages may call it, as a JSON list: ["https://app.example.org"]; when empty, pages '
        "of its own host. Clients that send no Origin are no browsers and may always",
    )
    api_max_in_flight: int = Field(
        default=64,
        ge=1,
        description="requests a process has at once, at work or waiting for their turn; one more: 503 with Retry-After",
    )
    api_max_in_flight_per_key: int = Field(
        default=48, ge=1, description="of these, those of one API key; one more is answered 429 with Retry-After"
    )
    max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1024, description="largest JSON body of a request")
    max_upload_file_bytes: int = Field(default=50 * 1024 * 1024, ge=1, description="largest file of an upload")
    previews_kept: int = Field(
        default=20, ge=1, le=1000, description="previews a project keeps; the oldest that have ended make room"
    )
    realign_at_once: int = Field(
        default=50_000,
        ge=0,
        description="detections up to which a run is shown by another alignment within the request; more: an operation",
    )
    max_exports: int = Field(
        default=4, ge=1, le=100, description="exports a process gives at once; each holds a connection to the database"
    )
    max_own_models: int = Field(default=100, ge=0, description="models of its own a workspace may have")
    max_webhooks: int = Field(default=20, ge=0, description="webhooks a workspace may have")
    operator_workspace_ids: tuple[UUID, ...] = Field(
        default=(),
        description="workspaces whose admins run this installation, as a JSON list: `GET /v1/system` shows them all of "
        "it, others their own part",
    )
    shutdown_grace_seconds: int = Field(
        default=10, ge=0, le=600, description="how long requests may go on after SIGTERM"
    )


class WorkerSettings(SharedSettings, TraceSettings, OperationSettings, ObjectStoreSettings):
    """Of `services/api/worker.py`."""

    operations_host: str = Field(default="127.0.0.1", description="address health and metrics are served on")
    operations_metrics_port: int = Field(default=8003, ge=1, le=65535, description="port of health and metrics")
    operations_drain_seconds: float = Field(
        default=10, gt=0, description="how long a stopping worker finishes its steps"
    )
    events_kept_days: float = Field(
        default=30, gt=0, description="older events leave the log, notifications among them; read what you miss anew"
    )
    events_kept: int = Field(
        default=1_000_000, ge=1, description="events kept at most of one stream, whatever their age"
    )
    deleted_kept_days: float = Field(
        default=30, gt=0, description="a deleted project is removed for good, with all that is its, after so long"
    )
    previews_kept_days: float = Field(default=30, gt=0, description="a preview that ended longer ago is removed")
    imports_kept_days: float = Field(
        default=7, gt=0, description="uploads, and what became of each of their lines, are removed after that"
    )
    events_trim_seconds: float = Field(default=60, gt=0, description="how often it is looked for what may go")
