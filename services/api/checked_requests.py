"""What no schema can check: the size of a body, its content type, and values that neither JSON nor PostgreSQL holds."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from services.api.values import check_values
from shared.errors import TooLarge, Unprocessable, UnsupportedMedia

MAX_BODY_BYTES = "x-max-body-bytes"
"""In a route's `openapi_extra`: its own limit in place of the setting's."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class CheckedRoute(APIRoute):
    """A route whose requests are bounded, and hold no value that PostgreSQL would refuse later."""

    def get_route_handler(self) -> Handler:
        handle = self.wrap(super().get_route_handler())
        takes_json = self.body_field is not None and not isinstance(self.body_field.field_info, Form)
        max_bytes = (self.openapi_extra or {}).get(MAX_BODY_BYTES)

        async def handle_checked(request: Request) -> Response:
            return await handle(await check_request(request, takes_json, max_bytes))

        return handle_checked

    def wrap(self, handle: Handler) -> Handler:
        """For what stands between the checks and the route."""
        return handle


async def check_request(request: Request, takes_json: bool, max_bytes: int | None) -> Request:
    """The request with its body bounded. `max_bytes` is the route's own limit; None means that of the settings."""
    if "%00" in request.url.query or "\0" in request.url.path:
        raise Unprocessable("a NUL character cannot be part of an address", code="unsupported_character")
    json = is_json(request)
    # A route's own limit is for its streams; JSON is held in memory whole, wherever it is sent.
    limit = None if json else max_bytes
    limit = limit or request.app.state.resources.settings.max_body_bytes
    bounded = Request(request.scope, _bounded(request, limit), request._send)
    if json and takes_json:  # a route that reads the body by itself checks it by itself
        check_values(await bounded.body())
    elif takes_json and await bounded.body():
        raise UnsupportedMedia("this takes application/json")
    return bounded


def is_json(request: Request) -> bool:
    main, _, subtype = content_type_of(request).partition("/")
    return main == "application" and (subtype == "json" or subtype.endswith("+json"))


def content_type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _bounded(request: Request, limit: int) -> Receive:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise TooLarge(f"the body has {declared} bytes; at most {limit} are taken")
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLarge(f"the body has more than {limit} bytes")
        return message

    return receive
