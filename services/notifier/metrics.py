"""What the notifier counts."""

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("prelabel_notifier_connections", "Open connections: websockets and server-sent streams")
SUBSCRIPTIONS = Gauge("prelabel_notifier_subscriptions", "Subscriptions of all clients")
STREAMS = Gauge("prelabel_notifier_streams", "Streams with at least one subscription")
EVENTS_SENT = Counter("prelabel_notifier_events_sent", "Events given to clients, replayed ones included")
PROGRESS_SENT = Counter("prelabel_notifier_progress_sent", "Progress messages given to clients")
PROGRESS_DROPPED = Counter("prelabel_notifier_progress_dropped", "Progress messages a client was too slow for")
SLOW_CLIENTS_CLOSED = Counter("prelabel_notifier_slow_clients_closed", "Clients closed since they did not read")
CLOSED = Counter("prelabel_notifier_closed", "Connections closed by the notifier", ["code"])
HISTORY_LOST = Counter("prelabel_notifier_history_lost", "Streams whose followers had to start anew")
KEY_LOOKS_FAILED = Counter("prelabel_notifier_key_looks_failed", "Looks at the API keys in use that failed")
TAIL_LAG = Gauge("prelabel_notifier_tail_lag_events", "Events the last poll found unread, over all followed streams")
TAIL_FAILURES = Counter("prelabel_notifier_tail_failures", "Reads of the log that failed")
WEBHOOK_ATTEMPTS = Counter(
    "prelabel_notifier_webhook_attempts", "Attempts to deliver an event to a webhook, by how they ended", ["outcome"]
)
WEBHOOK_SECONDS = Histogram(
    "prelabel_notifier_webhook_seconds",
    "Time a receiver took to answer",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
WEBHOOKS_IN_FLIGHT = Gauge("prelabel_notifier_webhooks_in_flight", "Attempts under way")
WEBHOOKS_SWITCHED_OFF = Counter(
    "prelabel_notifier_webhooks_switched_off", "Webhooks switched off, after long failure or by a 410"
)
WEBHOOK_HISTORY_LOST = Counter(
    "prelabel_notifier_webhook_history_lost",
    "Times that events a webhook had not been told of were no longer in the log",
)
WEBHOOK_FAILURES = Counter("prelabel_notifier_webhook_failures", "Rounds that failed since PostgreSQL was away")
