"""Page tokens: signed, and bound to the workspace, the path and the filter they were made for.

The api reads them; the notifier too makes one, since a snapshot is the first page of what it shows.
"""

import hashlib
from collections.abc import Iterable
from typing import cast
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer
from pydantic import JsonValue

from shared.errors import Malformed

Key = tuple[JsonValue, ...]

# A page may be continued with another size, so neither belongs to the filter.
_NOT_FILTER = {"page_size", "page_token"}


class Pager:
    """Signs and checks page tokens."""

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeSerializer(secret, salt="page-token")

    def sign(self, scope: str, key: Key) -> str:
        return str(self._serializer.dumps([scope, list(key)]))

    def read(self, scope: str, token: str) -> Key:
        try:
            found, key = self._serializer.loads(token)
        except (BadData, ValueError, TypeError) as error:
            raise Malformed("this page token is not one of ours", code="invalid_page_token") from error
        if found != scope:
            raise Malformed("this page token belongs to another list or filter", code="invalid_page_token")
        return tuple(cast(list[JsonValue], key))


def scope_of(workspace_id: UUID, path: str, query: Iterable[tuple[str, str]]) -> str:
    """What a token is bound to."""
    kept = sorted(pair for pair in query if pair[0] not in _NOT_FILTER)
    return hashlib.sha256(repr((str(workspace_id), path, kept)).encode()).hexdigest()[:32]
