"""`python -m services.api`: one process that serves HTTP. Run more of them behind a balancer for more."""

from services.api.app import create_app
from services.api.settings import ApiSettings
from shared.lifecycle import settle_heap
from shared.serving import serve
from shared.telemetry import configure_logging
from shared.tracing import configure_tracing


def main() -> None:
    settings = ApiSettings()
    configure_logging(settings, "api")
    configure_tracing(settings, "api")
    app = create_app(settings)
    settle_heap()
    serve(
        app,
        settings.shutdown_delay_seconds,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
    )


if __name__ == "__main__":
    main()
