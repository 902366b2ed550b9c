"""What no schema can check: the size of a body, its content type, and values that neither JSON nor PostgreSQL holds."""

import json
import math
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from services.api.pointers import escape
from shared.errors import FieldError, Malformed, TooLarge, Unprocessable, UnsupportedMedia

_MAX_LISTED = 20
# Python's parser takes these; PostgreSQL's text and JSON do not. Bodies without them need no second look.
_SUSPICIOUS = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]|NaN|Infinity|[eE]\+?[0-9]{3}")
_SURROGATES = re.compile("[\ud800-\udfff]")

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
    limit = max_bytes or request.app.state.resources.settings.max_body_bytes
    bounded = Request(request.scope, _bounded(request, limit), request._send)
    if _is_json(bounded):
        check_values(await bounded.body())
    elif takes_json and await bounded.body():
        raise UnsupportedMedia("this takes application/json")
    return bounded


def check_values(body: bytes) -> None:
    """Raises Unprocessable with a pointer to every value that cannot be stored. Bad JSON is left to the parser."""
    if not _SUSPICIOUS.search(body):
        return
    errors = list(_unusable(body))
    if errors:
        raise Unprocessable("some values cannot be stored", code="unsupported_value", errors=errors[:_MAX_LISTED])


def _is_json(request: Request) -> bool:
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


def _unusable(body: bytes) -> Iterator[FieldError]:
    try:
        waiting: list[tuple[str, Any]] = [("", json.loads(body))]
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except ValueError:
        return
    # A stack of our own: a recursive walk would fail at the depths json.loads still takes.
    while waiting:
        pointer, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend((f"{pointer}/{escape(name)}", child) for name, child in value.items())
            if any(map(_unusable_text, value)):
                yield FieldError(pointer, "unsupported_character", "a name in it has a NUL or half a surrogate pair")
        elif isinstance(value, list):
            waiting.extend((f"{pointer}/{index}", child) for index, child in enumerate(value))
        else:
            yield from _unusable_scalar(pointer, value)


def _unusable_scalar(pointer: str, value: object) -> Iterator[FieldError]:
    if isinstance(value, str) and _unusable_text(value):
        yield FieldError(pointer, "unsupported_character", "the text has a NUL or half a surrogate pair")
    elif isinstance(value, float) and not math.isfinite(value):
        yield FieldError(pointer, "not_a_number", "NaN and infinity are no JSON numbers")


def _unusable_text(text: str) -> bool:
    return "\0" in text or _SURROGATES.search(text) is not None
