"""Pages by keyset. A page token is signed and bound to the workspace, the path and the filter it was made for."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer
from pydantic import JsonValue

from shared.contracts.http import Page
from shared.errors import Malformed

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
Item = TypeVar("Item")
Shown = TypeVar("Shown")
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


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is wanted. `after` is the key of the last item of the page before; None on the first page."""

    pager: Pager
    scope: str
    size: int
    after: Key | None

    @property
    def after_id(self) -> UUID | None:
        """`after` where the key is one id, as in most lists."""
        return UUID(str(self.after[0])) if self.after else None

    @property
    def fetch(self) -> int:
        """How many items to look for: one more than is shown says whether there is a next page."""
        return self.size + 1

    def page(self, items: Sequence[Shown], key: Callable[[Shown], Key]) -> Page[Shown]:
        """`items` are up to `fetch` of them, in order; `key` gives what the next page goes on after."""
        kept = list(items[: self.size])
        more = len(items) > self.size
        return self.page_with(kept, key(kept[-1]) if more else None)

    def page_with(self, items: Sequence[Shown], next_key: Key | None) -> Page[Shown]:
        """For scans that stop by themselves."""
        token = None if next_key is None else self.pager.sign(self.scope, next_key)
        return Page(items=list(items), next_page_token=token)


def by_id(item: object) -> Key:
    """The usual key: the item's id, which is a UUIDv7 and so sorts by the time it was made."""
    return (str(item.id),)  # type: ignore[attr-defined]


def scope_of(workspace_id: UUID, path: str, query: Iterable[tuple[str, str]]) -> str:
    """What a token is bound to."""
    kept = sorted(pair for pair in query if pair[0] not in _NOT_FILTER)
    return hashlib.sha256(repr((str(workspace_id), path, kept)).encode()).hexdigest()[:32]
