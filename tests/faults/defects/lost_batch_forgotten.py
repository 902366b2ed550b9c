"""A segment is closed although a batch of it got no answer while Triton was away."""

from services.inference.failures import PartAway
from services.inference.pipeline import Lane
from services.inference.segments import Claim
from services.inference.worker import Worker
from tests.faults.defects.base import close_whatever_is_left


def apply() -> None:
    close_whatever_is_left()
    original = Worker._work_through

    async def work_through(self: Worker, claim: Claim, lane: Lane) -> bool:
        try:
            return await original(self, claim, lane)
        except PartAway:
            return True

    Worker._work_through = work_through  # type: ignore[method-assign]
