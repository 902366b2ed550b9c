"""Secrets: 256 random bits, shown once, stored as SHA-256 only. A fast hash is enough for what nobody can guess."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from uuid import UUID

# A prefix of its own, so that secret scanners know a key that got where it should not be.
_KEY = re.compile(r"plk_([0-9a-f]{32})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class ApiKeySecret:
    """An API key as its owner holds it: `plk_<id>_<secret>`."""

    api_key_id: UUID
    secret: str

    def __str__(self) -> str:
        return f"plk_{self.api_key_id.hex}_{self.secret}"

    def __repr__(self) -> str:
        return f"ApiKeySecret({self.api_key_id})"

    def sha256(self) -> bytes:
        return sha256_of(self.secret)


def new_api_key_secret(api_key_id: UUID) -> ApiKeySecret:
    return ApiKeySecret(api_key_id, secrets.token_hex(32))


def parse_api_key(token: str) -> ApiKeySecret | None:
    found = _KEY.fullmatch(token)
    return ApiKeySecret(UUID(found[1]), found[2]) if found else None


def new_ticket() -> str:
    return secrets.token_urlsafe(32)


def sha256_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
