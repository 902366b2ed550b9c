"""What a run waits for: a part that is away is stored with its state; that no worker lives shows in the leases."""

from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.resources import Waiting
from shared.database.tables import ModelRunRow

StoredWaiting = Literal["model", "answer", "object_store"]
"""`model`: until the catalog says that it is ready. `answer`: it is said to be ready, and yet a worker got no answer;
until one gets some. `object_store`: until that answers."""

_SHOWN: dict[str, Waiting] = {"model": "model", "answer": "model", "object_store": "object_store"}
_NO_WORKER = "no worker takes it"

# Longer than a lease and the look of an idle worker: whoever lives has shown it by then.
_NOBODY_WORKS = text("""
    SELECT coalesce(r.served_at, r.created_at) < now() - interval '15 s' AND NOT EXISTS (
        SELECT 1 FROM segments s
        WHERE s.state = 'leased' AND s.purpose = r.purpose AND s.heartbeat_at > now() - interval '15 s'
    )
    FROM model_runs r WHERE r.id = :run
""")


async def waiting_for(session: AsyncSession, run: ModelRunRow) -> tuple[Waiting | None, str | None]:
    """The part, and the reason beside the run's state."""
    if run.state in {"queued", "stalled"} and run.waiting_for and run.state_reason:
        return _SHOWN[run.waiting_for], run.state_reason
    if run.state in {"queued", "running"} and await session.scalar(_NOBODY_WORKS, {"run": run.id}):
        return "worker", _NO_WORKER
    return None, run.state_reason
