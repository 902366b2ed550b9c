"""What one more idle connection keeps in memory: 5,000 of them, each subscribed to a project."""

import sys
from pathlib import Path

from tests.bench.measure import Measurement, machine
from tests.bench.notifier.stage import notifier_stage

_CLIENTS, _FIRST = 5_000, 200


async def measure() -> Measurement:
    async with notifier_stage("connections") as stage, stage.crowd(_FIRST):
        before = _resident_kib(stage.notifier.pid)
        async with stage.crowd(_CLIENTS):
            after = _resident_kib(stage.notifier.pid)
    each = (after - before) / _CLIENTS
    sys.stderr.write(f"  {before} KiB with {_FIRST} connections, {after} KiB with {_CLIENTS} more\n")
    return Measurement(
        name="connections",
        value=round(each, 1),
        unit="KiB resident a connection",
        goal="at most 20",
        ratio=None,
        spread=None,
        pairs=1,
        cpu_us_per_item=None,
        anchor="none: the goal is a size",
        machine=machine(),
    )


def _resident_kib(pid: int) -> int:
    """Of the process, with what it shares with others: that is the same before and after."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
