"""Whole runs of one configuration on a running stack, from the submit to the terminal event."""

import time
from dataclasses import dataclass, field

from deploy.local.control import StackProcess
from deploy.local.demo.client import Json
from tests.bench.measure import cpu_seconds
from tests.support.stack import Frontend
from tests.support.texts import run_to_its_end


@dataclass(frozen=True)
class WholeRuns:
    """`rows` is what each of them has to do."""

    stack: StackProcess
    frontend: Frontend
    wanted: Json
    rows: int
    cpu: list[float] = field(default_factory=list)
    """Of the stack's own worker, in microseconds a row; one a run."""

    async def rate(self) -> float:
        """Rows a second of one more run, all of whose rows succeeded."""
        worker = self.stack.status().services["inference"].process
        if worker is None:
            raise RuntimeError("there is no worker")
        before, began = cpu_seconds(worker.pid), time.perf_counter()
        ended = await run_to_its_end(self.frontend, self.stack.addresses.notifier_url, self.wanted)
        seconds = time.perf_counter() - began
        if ended["data"]["succeeded"] != self.rows:
            raise RuntimeError(f"the run ended as {ended['type']}")
        self.cpu.append((cpu_seconds(worker.pid) - before) / self.rows * 1e6)
        return self.rows / seconds
