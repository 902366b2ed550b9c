"""`python -m services.api`: one process that serves HTTP. Run more of them behind a balancer for more."""

import uvicorn

from services.api.app import create_app
from services.api.settings import ApiSettings
from shared.lifecycle import settle_heap
from shared.telemetry import configure_logging


def main() -> None:
    settings = ApiSettings()
    configure_logging(settings, "api")
    app = create_app(settings)
    settle_heap()
    uvicorn.run(
        app,
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
