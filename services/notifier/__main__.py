"""`python -m services.notifier`: one process that holds websockets. Run more of them for more clients."""

import resource
from functools import partial

from services.notifier.app import create_app
from services.notifier.server_sent_wire import ServerSentProtocol
from services.notifier.settings import NotifierSettings
from services.notifier.wire import WireProtocol
from shared.lifecycle import settle_heap
from shared.serving import serve
from shared.telemetry import configure_logging

_MAX_MESSAGE_BYTES = 64 * 1024
_GRACE_SECONDS = 5


def main() -> None:
    settings = NotifierSettings()
    configure_logging(settings, "notifier")
    _allow_many_connections()
    app = create_app(settings)
    settle_heap()
    serve(
        app,
        settings.shutdown_delay_seconds,
        host=settings.notifier_host,
        port=settings.notifier_port,
        http=partial(ServerSentProtocol, head_seconds=settings.notifier_init_seconds),
        ws=partial(WireProtocol, frames_per_second=settings.notifier_messages_per_second),
        ws_max_size=_MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        # The protocol has pings of its own, which browsers can see; a second set would only cost timers.
        ws_ping_interval=None,
        ws_ping_timeout=None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        server_header=False,
        access_log=False,
        log_config=None,
    )


def _allow_many_connections() -> None:
    """Each one is an open file, and the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
