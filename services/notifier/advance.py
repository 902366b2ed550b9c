"""How far the runs of a stream were told to be. A worker may be late: it counts, another tells more or the run's end,
and then it tells what it counted.
"""

import json
from math import inf
from uuid import UUID

from pydantic import BaseModel

from shared.contracts.events import TERMINAL_STATES
from shared.contracts.progress import Progress
from shared.contracts.resources import ModelRun, Preview
from shared.database.event_log import LoggedEvent

_ENDS = frozenset(f"{kind}.{state}" for kind in ("model_run", "preview") for state in TERMINAL_STATES)
_MOST_RUNS = 1_000


class Advance:
    """Of each run its execution and the rows done in it, endless once it has ended."""

    def __init__(self) -> None:
        self._runs: dict[UUID, tuple[int, float]] = {}

    def rises(self, progress: Progress) -> bool:
        """Whether it is to be told: it is not behind what was told already."""
        return self._rises(progress.model_run_id, progress.execution, progress.done)

    def hear(self, event: LoggedEvent) -> None:
        if event.type in _ENDS:
            execution = json.loads(event.payload).get("data", {}).get("execution", 1)
            self._rises(event.subject_id, execution, inf)

    def see(self, snapshot: BaseModel | None) -> None:
        if isinstance(snapshot, ModelRun | Preview):
            execution = snapshot.execution if isinstance(snapshot, ModelRun) else 1
            self._rises(snapshot.id, execution, inf if snapshot.state in TERMINAL_STATES else snapshot.done)

    def _rises(self, run_id: UUID, execution: int, done: float) -> bool:
        before = self._runs.pop(run_id, (0, 0))  # and in again, as the one heard of last
        self._runs[run_id] = max(before, (execution, done))
        if len(self._runs) > _MOST_RUNS:
            del self._runs[next(iter(self._runs))]
        return (execution, done) >= before
