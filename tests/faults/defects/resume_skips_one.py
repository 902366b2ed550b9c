"""Who comes back at an offset is served from the one after the next."""

from dataclasses import replace
from typing import Any

from services.notifier.catch_up import CatchUp
from services.notifier.log import Opening


def apply() -> None:
    opened = CatchUp._opening

    async def open_further_on(self: CatchUp, *arguments: Any) -> Opening:
        opening = await opened(self, *arguments)
        resumed = opening.snapshot is None and opening.offset < opening.head.last_offset
        return replace(opening, offset=opening.offset + 1) if resumed else opening

    setattr(CatchUp, "_opening", open_further_on)  # noqa: B010
