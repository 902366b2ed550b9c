"""The one client that asks hosts outside: only those allowed, only over TLS, only at the address that was checked."""

import asyncio
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

import httpx
from httpx_secure import SSRFProtectionError, httpx_ssrf_protection

from shared.errors import PrelabelError
from shared.settings import EgressSettings

_MAX_REDIRECTS = 3
_LONGEST_SECONDS = 60.0  # in all: a host may send a byte now and then for ever
_TIMEOUT = httpx.Timeout(10, connect=5)


class ContentUnavailable(PrelabelError):
    """The content cannot be had. `transient` says that a later try may do better."""

    status = 422
    title = "The content of the data row cannot be read"

    def __init__(self, code: str, detail: str, *, transient: bool = False) -> None:
        super().__init__(detail, code=code)
        self.transient = transient


class Egress:
    def __init__(self, settings: EgressSettings) -> None:
        self._hosts = frozenset(host.lower() for host in settings.allowed_content_hosts)
        self._private = settings.allow_private_content_hosts
        self._client = httpx.AsyncClient(
            trust_env=False,
            timeout=_TIMEOUT,
            follow_redirects=True,
            max_redirects=_MAX_REDIRECTS,
            event_hooks={"request": [self._may_ask]},
        )
        httpx_ssrf_protection(
            self._client,
            custom_validator=self._may_connect,
            check_globally_reachable=not self._private,
        )

    def allows(self, uri: str) -> bool:
        """Whether a data row may name this URI."""
        try:
            parts = urlsplit(uri)
            schemes = {"https", "http"} if self._private else {"https"}
            allowed = parts.scheme in schemes and (parts.hostname or "").lower() in self._hosts
            # `port` and httpx raise on what they cannot read: better here than in a worker.
            return allowed and "@" not in parts.netloc and parts.port != 0 and bool(httpx.URL(uri).host)
        except (ValueError, httpx.InvalidURL):
            return False

    async def fetch(self, uri: str, max_bytes: int) -> bytes:
        """Raises ContentUnavailable with a code that says why."""
        self._check(uri)
        try:
            async with asyncio.timeout(_LONGEST_SECONDS), self._client.stream("GET", uri) as response:
                return await _body(response, max_bytes)
        except TimeoutError as error:
            raise ContentUnavailable("fetch_failed", f"not sent within {_LONGEST_SECONDS:.0f} s") from error
        except SSRFProtectionError as error:
            raise ContentUnavailable("host_not_allowed", "the host leads to an address that is not allowed") from error
        except httpx.TooManyRedirects as error:
            raise ContentUnavailable("too_many_redirects", f"more than {_MAX_REDIRECTS} redirects") from error
        except httpx.HTTPError as error:
            raise ContentUnavailable(
                "fetch_failed",
                f"the host did not answer: {type(error).__name__}",
                transient=True,
            ) from error

    async def close(self) -> None:
        await self._client.aclose()

    def _check(self, uri: str) -> None:
        if not self.allows(uri):
            raise ContentUnavailable(
                "host_not_allowed",
                "the host of this URI is not allowed by the configuration",
            )

    async def _may_ask(self, request: httpx.Request) -> None:
        # Every redirect too, before a name is looked up or a port is knocked at.
        self._check(str(request.url))

    def _may_connect(self, hostname: str, address: IPv4Address | IPv6Address, port: int) -> bool:
        # With the address that will be connected to.
        del address, port
        return hostname.lower() in self._hosts


async def _body(response: httpx.Response, max_bytes: int) -> bytes:
    if response.is_server_error:
        raise ContentUnavailable("fetch_failed", f"the host answered {response.status_code}", transient=True)
    if response.status_code != httpx.codes.OK:
        raise ContentUnavailable("content_not_found", f"the host answered {response.status_code}")
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > max_bytes:
            raise ContentUnavailable("content_too_large", f"more than {max_bytes} bytes")
    return bytes(content)
