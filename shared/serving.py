"""How a process that serves HTTP ends: it says that it is not ready, serves on until balancers have seen it, then ends.

What comes meanwhile is answered as ever, and told to come back on another connection.
"""

import time
from collections.abc import Awaitable
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READINESS = "/readyz"


class Departure:
    """Whether this process was told to stop, and since when."""

    def __init__(self) -> None:
        self._told_at: float | None = None

    @property
    def is_told(self) -> bool:
        return self._told_at is not None

    def tell(self) -> None:
        if self._told_at is None:
            self._told_at = time.monotonic()

    def is_over(self, delay_seconds: float) -> bool:
        return self._told_at is not None and time.monotonic() - self._told_at >= delay_seconds


class Departing:
    """An application that lets nobody in anew once its process was told to stop."""

    def __init__(self, app: ASGIApp, departure: Departure) -> None:
        self._app = app
        self._departure = departure

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own: it would stay for as long as a websocket does.
        if scope["type"] != "http" or not self._departure.is_told:
            return self._app(scope, receive, send)
        if scope["path"] == _READINESS:
            return JSONResponse({"ready": False, "parts": {}}, 503)(scope, receive, send)
        return self._app(scope, receive, _closing(send))


class DepartingServer(uvicorn.Server):
    """uvicorn's server, that goes on for `delay_seconds` after the signal; a second one ends the delay."""

    def __init__(self, config: uvicorn.Config, departure: Departure, delay_seconds: float) -> None:
        super().__init__(config)
        self._departure = departure
        self._delay = delay_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._departure.is_told or self._delay == 0:
            super().handle_exit(sig, frame)
        else:
            self._captured_signals.append(sig)
        self._departure.tell()

    async def on_tick(self, counter: int) -> bool:
        if self._departure.is_over(self._delay):
            self.should_exit = True
        return await super().on_tick(counter)


def serve(app: ASGIApp, delay_seconds: float, **options: Any) -> None:
    """Until SIGTERM or SIGINT, and the delay. `options` are those of `uvicorn.run`."""
    departure = Departure()
    config = uvicorn.Config(Departing(app, departure), interface="asgi3", **options)
    with suppress(KeyboardInterrupt):  # which uvicorn raises again after it has ended in peace
        DepartingServer(config, departure, delay_seconds).run()


def _closing(send: Send) -> Send:
    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["connection"] = "close"
        await send(message)

    return closing
