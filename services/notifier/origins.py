"""Which pages may call."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection


def origin_is_allowed(connection: HTTPConnection, allowed: Collection[str]) -> bool:
    origin = connection.headers.get("origin")
    if origin is None:
        return True  # no browser, and thus no page that could misuse somebody's cookies or network
    if allowed:
        return origin in allowed
    return urlsplit(origin).netloc == connection.headers.get("host")
