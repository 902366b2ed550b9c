"""All that is checked. To add a check: write it in the file of its promise, name it here."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from tests.faults.harness.checks import acceptance, agreement, counters, events, leases, outcomes, progress, results
from tests.faults.harness.checks.base import Violation
from tests.faults.harness.database import Database
from tests.faults.harness.history import History

Check: TypeAlias = Callable[[History, Database], Iterator[Violation]]

CHECKS: Sequence[Check] = (
    outcomes.one_each,
    outcomes.told_as_stored,
    acceptance.submits,
    acceptance.imports,
    acceptance.cancels,
    acceptance.no_internal_errors,
    counters.of_segments,
    counters.of_runs,
    counters.of_detections,
    counters.of_ledger,
    events.gapless,
    events.snapshots,
    events.told_exactly,
    agreement.states_and_events,
    agreement.one_terminal_event,
    agreement.terminal_counters,
    agreement.notifications,
    leases.proven,
    leases.nothing_after_the_end,
    progress.rises,
    progress.ends,
    progress.not_too_often,
    results.right,
)
