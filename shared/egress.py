"""The one client that asks hosts outside: only those allowed, only over TLS, only at the address that was checked."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import httpx
from httpx_secure import SSRFProtectionError, httpx_ssrf_protection

from shared.errors import PrelabelError
from shared.settings import EgressSettings, WebhookHostSettings

_MAX_REDIRECTS = 3
_LONGEST_SECONDS = 60.0  # in all: a host may send a byte now and then for ever
_TIMEOUT = httpx.Timeout(10, connect=5)
# A path of these decides nothing, and of a million URIs most differ in it only.
_PLAIN = re.compile(r"(https://[a-z0-9.-]{1,253}/)[A-Za-z0-9._~/-]{0,1700}")
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


class ContentUnavailable(PrelabelError):
    """The content cannot be had. `transient` says that a later try may do better."""

    status = 422
    title = "The content of the data row cannot be read"

    def __init__(self, code: str, detail: str, *, transient: bool = False) -> None:
        super().__init__(detail, code=code)
        self.transient = transient


class HostNotAllowed(Exception):
    """A request, or a redirect of it, would go where the rules do not let it."""


@dataclass(frozen=True, slots=True)
class HostRules:
    """Who may be asked. `hosts` are lower case; None: every one. `private`: at private addresses and over http too."""

    hosts: frozenset[str] | None
    private: bool

    @classmethod
    def of(cls, hosts: Iterable[str] | None, *, private: bool) -> "HostRules":
        return cls(None if hosts is None else frozenset(host.lower() for host in hosts), private)

    def allows(self, uri: str) -> bool:
        """By its text alone; the address behind a name is checked when it is connected to."""
        plain = _PLAIN.fullmatch(uri)
        return self._allows(uri) if plain is None else _allows_origin(self, plain[1])

    def _allows(self, uri: str) -> bool:
        try:
            parts = urlsplit(uri)
            schemes = {"https", "http"} if self.private else {"https"}
            allowed = parts.scheme in schemes and self.names((parts.hostname or "").lower())
            # `port` and httpx raise on what they cannot read: better here than in a worker.
            return allowed and "@" not in parts.netloc and parts.port != 0 and bool(httpx.URL(uri).host)
        except (ValueError, httpx.InvalidURL):
            return False

    def names(self, host: str) -> bool:
        if self.hosts is not None:
            return host in self.hosts
        return bool(host) and (self.private or _may_be_public(host))


@lru_cache(maxsize=1024)
def _allows_origin(rules: HostRules, origin: str) -> bool:
    return rules._allows(origin)


def webhook_hosts(settings: WebhookHostSettings) -> HostRules:
    return HostRules.of(settings.allowed_webhook_hosts or None, private=settings.allow_private_webhook_hosts)


def guarded_client(
    rules: HostRules, *, timeout: httpx.Timeout = _TIMEOUT, limits: httpx.Limits = _LIMITS
) -> httpx.AsyncClient:
    """Raises HostNotAllowed for what the rules forbid, redirects too, and SSRFProtectionError for an address.

    A redirect to a name that is none (`http://xn--zz/`) raises UnicodeError: httpx lets it through.
    """

    async def may_ask(request: httpx.Request) -> None:
        # Every redirect too, before a name is looked up or a port is knocked at.
        if not rules.allows(str(request.url)):
            raise HostNotAllowed

    def may_connect(hostname: str, address: IPv4Address | IPv6Address, port: int) -> bool:
        # With the address that will be connected to.
        del address, port
        return rules.names(hostname.lower())

    client = httpx.AsyncClient(
        trust_env=False,
        timeout=timeout,
        limits=limits,
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        event_hooks={"request": [may_ask]},
    )
    # One client for all workspaces: what a host wants remembered is forgotten.
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return httpx_ssrf_protection(client, custom_validator=may_connect, check_globally_reachable=not rules.private)


class Egress:
    def __init__(self, settings: EgressSettings) -> None:
        private = settings.allow_private_content_hosts
        self._rules = HostRules.of(settings.allowed_content_hosts, private=private)
        self._client = guarded_client(self._rules)

    def allows(self, uri: str) -> bool:
        """Whether a data row may name this URI."""
        return self._rules.allows(uri)

    async def fetch(self, uri: str, max_bytes: int) -> bytes:
        """Raises ContentUnavailable with a code that says why."""
        try:
            if not self.allows(uri):
                raise HostNotAllowed
            async with asyncio.timeout(_LONGEST_SECONDS), self._client.stream("GET", uri) as response:
                return await _body(response, max_bytes)
        except (HostNotAllowed, UnicodeError) as error:
            raise ContentUnavailable(
                "host_not_allowed", "the host of this URI is not allowed by the configuration"
            ) from error
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


def _may_be_public(host: str) -> bool:
    """False for what is private by its very text; the same reading as that of the guard."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return host != "localhost" and not host.endswith((".localhost", ".localhost."))


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
