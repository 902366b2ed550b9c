"""Pages by keyset."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from shared.contracts.http import Page
from shared.page_tokens import Key, Pager

MAX_PAGE_SIZE = 500
Shown = TypeVar("Shown")


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
