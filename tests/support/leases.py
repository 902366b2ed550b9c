"""Single steps of a worker that a test takes itself: a claim, a result, and silence."""

from uuid import UUID

from sqlalchemy import text

from services.inference import segments
from services.inference.decoders.base import Found
from services.inference.inputs import Prepared
from services.inference.inputs.content import Content, Facts
from services.inference.inputs.placement import Placement
from services.inference.results import Succeeded
from services.inference.segments import Claim, Claimant
from shared.annotations import Canvas, Classification
from shared.database.unit_of_work import unit_of_work
from shared.signals import Signals
from tests.support.world import World

LEASE_SECONDS = 10.0


async def claim(
    world: World,
    signals: Signals,
    holder: str = "w",
    *,
    held: tuple[UUID, ...] = (),
    lease_seconds: float = LEASE_SECONDS,
    only_left: bool = False,
) -> Claim | None:
    """A segment of a run, if there is one."""
    async with unit_of_work(world.sessions, signals, "service:inference") as work:
        return await segments.claim(work, Claimant("run", holder, lease_seconds, held, only_left=only_left))


async def silent_for(world: World, seconds: float) -> None:
    """As if no worker had said anything for so long."""
    statement = text(
        "UPDATE segments SET heartbeat_at = clock_timestamp() - make_interval(secs => :seconds) WHERE state = 'leased'"
    )
    async with world.sessions.begin() as session:
        await session.execute(statement, {"seconds": seconds})


def succeeded(row: UUID) -> Succeeded:
    """The number 0, which is even."""
    content = Content(row, b"0", row.bytes * 2, first_read=True)
    prepared = Prepared(content, Placement(Canvas(length=1)), Facts("text/plain; charset=utf-8", 1, length=1))
    return Succeeded(prepared, [Found("even", 0.9, Classification())], '{"infer_ms": 1.0}')
