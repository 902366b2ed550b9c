"""Settings that every service has. A wrong value stops the start, not a request."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.database.address import SCHEMES, for_sqlalchemy


class SharedSettings(BaseSettings):
    """Read from the environment; one name, one meaning, in every service."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: SecretStr = Field(description="PostgreSQL, as postgresql://user:password@host:port/database")
    redis_url: SecretStr = Field(description="Redis or Valkey, as redis://:password@host:port/0")
    database_pool_size: int = Field(
        default=10,
        ge=1,
        le=200,
        description="connections a process keeps at most; the api lets in as many requests at once",
    )
    database_pool_wait_seconds: float = Field(
        default=5, gt=0, description="longest a request or a step of a worker waits for one of them"
    )
    statement_timeout_seconds: float = Field(default=30, gt=0, description="longest a statement may take")
    log_format: str = Field(
        default="json",
        pattern="^(json|console)$",
        description="`json` for machines, `console` for people",
    )
    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="least severe level that is logged",
    )

    @field_validator("database_url")
    @classmethod
    def _asyncpg(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        scheme, separator, _ = url.partition("://")
        if not separator or scheme not in SCHEMES:
            raise ValueError("must start with postgresql://")
        return SecretStr(for_sqlalchemy(url))


class TraceSettings(BaseSettings):
    """Of those whose work is traced; `shared.otlp` says which other variables of OpenTelemetry hold."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    otel_exporter_otlp_endpoint: str | None = Field(
        default=None,
        pattern="^https?://",
        description="OTLP collector that traces are sent to, as http://host:4318; when none, nothing is traced",
    )


class ObjectStoreSettings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    object_store_url: str = Field(description="where bytes live: file:///folder, s3://bucket/prefix, gs://…, az://…")


class PageTokenSettings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    secret_key: SecretStr = Field(
        min_length=16, description="signs page tokens; the same for every process of the api and the notifier"
    )


class ServingSettings(BaseSettings):
    """Of every service that is asked by others."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    shutdown_delay_seconds: float = Field(
        default=0,
        ge=0,
        le=600,
        description="how long a process that was told to stop serves on and says that it is not ready, so that "
        "balancers send nothing more",
    )


class EgressSettings(BaseSettings):
    """Who outside may be asked for the content of data rows."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    allowed_content_hosts: tuple[str, ...] = Field(
        default=(),
        description='hosts data rows may name in https:// URIs, as a JSON list: ["images.example.org"]',
    )
    allow_private_content_hosts: bool = Field(
        default=False, description="let an allowed host resolve to a private address"
    )


class WebhookHostSettings(BaseSettings):
    """Who outside may be told of events."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    allowed_webhook_hosts: tuple[str, ...] = Field(
        default=(),
        description='hosts webhooks may name in https:// URLs, as a JSON list: ["hooks.example.org"]; when empty, '
        "every host with a public address",
    )
    allow_private_webhook_hosts: bool = Field(
        default=False, description="let webhooks name private addresses, and http:// URLs"
    )


class OwnModelSettings(BaseSettings):
    """Of the models that workspaces bring along."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    allowed_inference_addresses: tuple[str, ...] = Field(
        default=(),
        description="servers of others (Open Inference Protocol, gRPC) that models may be registered at, as a JSON "
        'list: ["triton.example.org:8001"]',
    )
    allowed_label_studio_backends: tuple[str, ...] = Field(
        default=(),
        description="ML backends of Label Studio that models may be registered at, as a JSON list of their URLs: "
        '["https://ml.example.org"]',
    )
    max_model_file_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1,
        le=1_900_000_000,  # a message of gRPC ends at 2 GiB
        description="largest ONNX file of a model of one's own; its loading takes four times that in memory",
    )


class OperationSettings(BaseSettings):
    """Of every service that works on operations."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    operations_lanes: int = Field(default=2, ge=1, le=64, description="operations a worker has under way at once")
    operations_lease_seconds: float = Field(
        default=10, gt=0, description="a worker silent for this long lost its operations"
    )
    operations_heartbeat_seconds: float = Field(default=3, gt=0, description="how often such a worker says it lives")
    operations_poll_seconds: float = Field(
        default=2, gt=0, description="how often one with nothing to do looks without a ring"
    )
