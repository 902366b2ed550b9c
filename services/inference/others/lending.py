"""Contents that a server of others fetches from this worker for a while, each under a name that nobody guesses."""

import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

from fastapi import FastAPI, Response

from services.inference.settings import InferenceSettings
from shared.errors import NotFound
from shared.images import UnusableImage, read_header

_NAME_BYTES = 32
_UNKNOWN = "application/octet-stream"


class Lending:
    def __init__(self, settings: InferenceSettings) -> None:
        self._url = settings.inference_content_url or _own_url(settings)
        self._lent: dict[str, bytes] = {}

    @contextmanager
    def lend(self, contents: Sequence[bytes]) -> Iterator[list[str]]:
        """Their URLs, which lead nowhere afterwards."""
        lent = {secrets.token_urlsafe(_NAME_BYTES): content for content in contents}
        self._lent |= lent
        try:
            yield [f"{self._url.rstrip('/')}/contents/{name}{_ending(content)}" for name, content in lent.items()]
        finally:
            for name in lent:
                del self._lent[name]

    def serve_on(self, app: FastAPI) -> None:
        @app.get("/contents/{name}")
        async def content(name: str) -> Response:
            found = self._lent.get(name.partition(".")[0])
            if found is None:
                return Response(status_code=NotFound.status)
            return Response(found, media_type=_mime_type(found))


def _own_url(settings: InferenceSettings) -> str:
    host = settings.inference_host
    if _is_any(host):
        host = _own_host()
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.inference_metrics_port}"


def _own_host() -> str:
    """Its address where its name has one: a pod's name means nothing to others."""
    name = socket.gethostname()
    try:
        return socket.gethostbyname(name)
    except OSError:
        return name


def _is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _ending(content: bytes) -> str:
    """Some backends look at it."""
    kind = _mime_type(content)
    return "" if kind == _UNKNOWN else f".{kind.rpartition('/')[2]}"


def _mime_type(content: bytes) -> str:
    try:
        return read_header(content).mime_type
    except UnusableImage:
        return _UNKNOWN
