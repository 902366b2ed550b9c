"""Settings of the notifier, from the environment."""

from pydantic import Field, PositiveFloat

from shared.settings import PageTokenSettings, ServingSettings, SharedSettings, WebhookHostSettings


class NotifierSettings(SharedSettings, PageTokenSettings, ServingSettings, WebhookHostSettings):
    notifier_host: str = Field(default="127.0.0.1", description="address the notifier listens on")
    notifier_port: int = Field(default=8001, ge=0, le=65535, description="port the notifier listens on")
    allowed_origins: tuple[str, ...] = Field(
        default=(),
        description='origins whose pages may call it, as a JSON list: ["https://app.example.org"]; when empty, pages '
        "of its own host. Clients that send no Origin are no browsers and may always",
    )
    notifier_heartbeat_seconds: float = Field(
        default=20, gt=0, description="time between pings; a client silent for two and a half of it is closed"
    )
    notifier_init_seconds: float = Field(default=10, gt=0, description="time a client has for its first message")
    notifier_key_check_seconds: float = Field(
        default=2,
        gt=0,
        description="how often the API keys of open connections are looked at: revoked, expired, shut out",
    )
    notifier_poll_seconds: float = Field(default=1, gt=0, description="how often the log is looked at without a hint")
    notifier_max_connections: int = Field(default=10_000, ge=1, description="connections this process holds at most")
    notifier_max_subscriptions: int = Field(default=100, ge=1, description="subscriptions a client may have")
    notifier_messages_per_second: float = Field(
        default=20,
        gt=0,
        description="messages a client may send on average, pings and pieces of messages counted; six times as many "
        "at once, then it is closed",
    )
    notifier_client_queue_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="what waits for one slow client at most, before it is closed"
    )
    notifier_slow_client_seconds: float = Field(
        default=20, gt=0, description="how long a client may take to read a piece of the past"
    )
    notifier_max_missed_events: int = Field(
        default=10_000, ge=1, description="more than this are not replayed; the client gets a snapshot"
    )
    notifier_page_size: int = Field(default=200, ge=1, le=5_000, description="events read from the log at once")
    webhook_poll_seconds: float = Field(
        default=1,
        gt=0,
        description="how often the log is looked at for webhooks, and for deliveries whose time has come",
    )
    webhook_timeout_seconds: float = Field(default=15, gt=0, description="longest a receiver may take to answer")
    webhook_retry_seconds: tuple[PositiveFloat, ...] = Field(
        default=(5, 60, 300, 1800, 7200, 18000, 36000, 36000),
        description="pauses before the second, third, … attempt of a delivery, as a JSON list; without one more, "
        "it has failed",
    )
    webhook_off_after_seconds: float = Field(
        default=259_200,
        gt=0,
        description="a webhook is switched off when no attempt succeeded for this long, and an event of it was in vain "
        "for as long, or to its last attempt",
    )
    webhook_pending_max: int = Field(
        default=200, ge=1, description="deliveries of one webhook that wait at once; the rest stays in the log"
    )
    webhook_lanes: int = Field(default=4, ge=1, description="attempts this process makes at one webhook at once")
    webhook_max_in_flight: int = Field(default=100, ge=1, description="attempts this process makes at once")
    webhook_kept_days: float = Field(
        default=30, gt=0, description="how long a delivery that has ended can be looked up"
    )
