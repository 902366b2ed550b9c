"""The notifier as an application: who may connect, and how it is looked after."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from services.notifier.client import Client
from services.notifier.origins import origin_is_allowed
from services.notifier.parts import Notifier, running_notifier
from services.notifier.server_sent import stream_project_events
from services.notifier.session import Session
from services.notifier.settings import NotifierSettings
from services.notifier.wire import FLOODS, wire_of
from shared.contracts.messages import SUBPROTOCOL, CloseCode
from shared.errors import PrelabelError
from shared.http_problems import answer, answer_http_error

_PATIENCE_SECONDS = 2.0
_CORS: dict[str, Any] = {"allow_methods": ["GET"], "allow_headers": ["Authorization", "Last-Event-ID"], "max_age": 600}


class NotifierApp:
    """Websockets go straight to their conversation: each layer in between would cost every connection a frame."""

    def __init__(self, pages: Starlette) -> None:
        self._pages = pages

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "websocket" and scope["path"] == "/v1/ws":
            return serve(self._pages.state.notifier, scope, receive, send)
        return self._pages(scope, receive, send)


def create_app(settings: NotifierSettings) -> NotifierApp:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with running_notifier(settings) as notifier:
            app.state.notifier = notifier
            yield

    pages = Starlette(
        routes=[
            Route("/v1/projects/{project_id}/events/stream", stream_project_events),
            Route("/livez", get_liveness),
            Route("/readyz", get_readiness),
            Route("/metrics", get_metrics),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: answer_http_error, PrelabelError: answer_problem},
        middleware=[Middleware(CORSMiddleware, **_CORS, allow_origins=settings.allowed_origins)],
    )
    return NotifierApp(pages)


async def answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, PrelabelError)
    return answer(error, request)


async def serve(notifier: Notifier, scope: Scope, receive: Receive, send: Send) -> None:
    refusal = await _accept(notifier, WebSocket(scope, receive, send))
    wire, now = wire_of(scope), asyncio.get_running_loop().time()
    wire.settle()
    client = Client(wire, notifier.desk.limits.queue_bytes, heard_at=now)
    if refusal is not None:
        client.close(*refusal)
        return
    wire.on_flood = partial(client.close, *FLOODS)
    notifier.desk.hub.enter(client)
    try:
        await Session(notifier.desk, client, receive).run()
    finally:
        notifier.desk.hub.exit(client)


async def _accept(notifier: Notifier, websocket: WebSocket) -> tuple[CloseCode, str] | None:
    offered = SUBPROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=SUBPROTOCOL if offered else None)
    return _refusal(websocket, notifier)


async def get_liveness(request: Request) -> Response:
    """Whether the process answers. Asks no other part."""
    del request
    return JSONResponse({"status": "alive"})


async def get_readiness(request: Request) -> Response:
    """PostgreSQL is required. Without Redis events are late by up to a poll, and progress is missing."""
    notifier: Notifier = request.app.state.notifier
    postgresql, redis = await asyncio.gather(_answers(notifier.ask_database), _answers(notifier.hints.ping))
    parts = {"postgresql": {"ok": postgresql, "required": True}, "redis": {"ok": redis, "required": False}}
    return JSONResponse({"ready": postgresql, "parts": parts}, status_code=200 if postgresql else 503)


async def get_metrics(request: Request) -> Response:
    """Metrics in the Prometheus text format."""
    del request
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _refusal(websocket: WebSocket, notifier: Notifier) -> tuple[CloseCode, str] | None:
    """Why not. Said on the open connection, since browsers do not show why a handshake failed."""
    if SUBPROTOCOL not in websocket.scope["subprotocols"]:
        return CloseCode.BAD_MESSAGE, f"the subprotocol is {SUBPROTOCOL}"
    if not origin_is_allowed(websocket, notifier.settings.allowed_origins):
        return CloseCode.FORBIDDEN, "this origin is not allowed"
    if notifier.desk.is_full:
        return CloseCode.TOO_MANY, "too many connections; reconnect later"
    return None


async def _answers(ask: Callable[[], Awaitable[None]]) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await ask()
    except Exception:  # each part fails in its own way, and each way means the same here
        return False
    return True
