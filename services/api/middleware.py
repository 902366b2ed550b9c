"""Around every request: its id, one line in the log, its place in the metrics. Pure ASGI: context variables reach."""

import re
import time
from contextlib import AbstractContextManager
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.metrics import HttpMetrics
from shared.errors import PrelabelError
from shared.http_problems import answer
from shared.telemetry import about, logger
from shared.tracing import Span, span, unseen

REQUEST_ID = "X-Request-ID"
_UUID = re.compile(r"[0-9A-Fa-f-]{32,36}")
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})

log = logger(__name__)


class RequestContext:
    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        answering, started = _Answering(send, request_id), time.perf_counter()
        with about(request_id=request_id), _span(scope, request_id) as traced:
            try:
                await self._app(scope, receive, answering)
            except Exception as error:  # whatever it is, the client gets a problem and we a log line
                if answering.begun:
                    raise  # the client sees the connection break off, which is the truth
                log.error("request_failed", exc_info=error)
                await answer(PrelabelError(), Request(scope))(scope, receive, answering)
            finally:
                self._note(scope, answering, time.perf_counter() - started, traced)

    def _note(self, scope: Scope, answering: "_Answering", seconds: float, traced: Span) -> None:
        # The template, never the path: ids would make a series each.
        template = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.note(scope["method"], template, answering.status, seconds)
        traced.rename(f"{scope['method']} {template}")
        traced.set(http__route=template, http__response__status_code=answering.status)
        if template not in _QUIET:
            log.info(
                "request",
                method=scope["method"],
                route=template,
                status=answering.status,
                ms=round(seconds * 1000, 1),
                **_ids(scope),
                **({"made": answering.made} if answering.made else {}),
            )


class _Answering:
    """Sends, with the request's id, and remembers what the answer was; `made` is where something new is to be found."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status, self.begun, self.made = 500, False, ""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.begun = message["status"], True
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._request_id
            headers.setdefault("X-Content-Type-Options", "nosniff")
            self.made = headers.get("Location", "")
        await self._send(message)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _USABLE_ID.fullmatch(given) else uuid4().hex


def _span(scope: Scope, request_id: str) -> AbstractContextManager[Span]:
    """A trace that the caller began goes on here."""
    if scope["path"] in _QUIET:
        return unseen()
    given = Headers(scope=scope).get("traceparent")
    return span("request", kind="server", parent=given or "", request_id=request_id, url__path=scope["path"])


def _ids(scope: Scope) -> dict[str, str]:
    """Of the path, as far as they are ids: nothing else that a client wrote is logged."""
    given = {name: str(value) for name, value in scope.get("path_params", {}).items()}
    return {name: value for name, value in given.items() if _UUID.fullmatch(value)}
