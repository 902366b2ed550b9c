"""Steps that share a preparation do not meet in it."""

import asyncio
from collections.abc import Sequence
from typing import cast

from services.inference.failures import RowFailed
from services.inference.inputs import BatchPreparation, PreparedBatch
from services.inference.inputs.content import Content
from services.inference.intake import _Preparing
from shared.ids import new_id


class _Busy:
    """Says when it is emptied while somebody adds to it."""

    def __init__(self) -> None:
        self.is_adding = False
        self.failed: list[tuple[Content, RowFailed]] = []

    def ready(self) -> Sequence[PreparedBatch]:
        assert not self.is_adding
        return []

    batches = ready


async def test_what_is_ready_leaves_when_nobody_prepares() -> None:
    busy = _Busy()
    preparing = _Preparing(cast(BatchPreparation, busy))
    async with preparing.turn:
        busy.is_adding = True
        leaving = asyncio.create_task(preparing.leave(some_wait=True))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not leaving.done()
        content = Content(new_id(), b"", b"", first_read=False)
        busy.failed.append((content, RowFailed("decode", "undecodable_text", "no text")))
        busy.is_adding = False
    _, failed = await leaving
    assert [one.data_row_id for one in failed] == [content.data_row_id]
    assert busy.failed == []
