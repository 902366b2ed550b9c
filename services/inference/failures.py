"""What can go wrong with a batch, and what it means for its rows."""

from collections.abc import Iterator
from typing import ClassVar

from shared.database.waiting import StoredWaiting


class PartAway(Exception):
    """Triton, the model or the object store is away: wait and try again, blame no row."""

    part: ClassVar[StoredWaiting] = "answer"

    def reason(self) -> str:
        """For the run that waits."""
        return f"the model does not answer: {self}"[:300]


class ModelAway(PartAway):
    """Triton or the model is away; the same call may work later."""


class ModelBroken(ModelAway):
    """The model says ready but cannot answer until it is loaded anew."""


class StoreAway(PartAway):
    """The object store as a whole."""

    part = "object_store"

    def reason(self) -> str:
        return str(self)


class ModelUnusable(Exception):
    """No retry mends it: the run fails with this reason."""


class ModelRejected(Exception):
    """Triton refused this very batch; repeating it is of no use."""


class RowFailed(Exception):
    """Permanent for this row alone; becomes its outcome. `stage` is fetch, decode, inference or output."""

    def __init__(self, stage: str, code: str, detail: str, *, attempts: int = 1) -> None:
        super().__init__(detail)
        self.stage = stage
        self.code = code
        self.detail = detail.replace("\0", "")  # which PostgreSQL does not store
        self.attempts = attempts


def fault_of_ours(stage: str, error: Exception) -> RowFailed:
    """It may cost the row it belongs to, but never go round for ever. Users see no exception's text."""
    return RowFailed(stage, "internal_error", f"an error of ours: {type(error).__name__}")


class Unstorable(Exception):
    """PostgreSQL does not take what the model said of some row."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """What a group of tasks failed with, one by one."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
