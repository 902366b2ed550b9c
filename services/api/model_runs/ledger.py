"""Where the detections of a run went, class by class."""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.schemas import Ledger, LedgerClass
from shared.database.tables import ModelRunRow
from shared.selection import SHOWN

DISCARDED, UNDONE = "discarded", "undone"

_COUNTS = text("""
    SELECT model_class, reason, sum(count) FROM ledger_counts
    WHERE workspace_id = :workspace AND model_run_id = :run AND alignment_version = :version
    GROUP BY model_class, reason ORDER BY model_class, reason
""")
# The ledger counts detections: one that is shown for several features counts once.
_DECIDED = text("""
    SELECT model_class, count(*) FILTER (WHERE accepted), count(*) FILTER (WHERE edited AND NOT accepted), count(*)
    FROM (
        SELECT shown ->> 'model_class' AS model_class, bool_or(action = 'accept') AS accepted,
               bool_or(action = 'edit') AS edited
        FROM decisions
        WHERE workspace_id = :workspace AND model_run_id = :run AND NOT undone
        GROUP BY data_row_id, ordinal, shown ->> 'model_class'
    ) decided
    GROUP BY model_class
""")
# What this version would drop, had nobody decided about it.
_KEPT = text("""
    SELECT k.model_class, k.reason, count(*)
    FROM row_projections p, jsonb_to_recordset(p.kept) AS k(ordinal int, model_class text, reason text)
    WHERE p.workspace_id = :workspace AND p.model_run_id = :run AND p.alignment_version = :version
      AND p.kept IS NOT NULL
      AND EXISTS (
          SELECT 1 FROM decisions d
          WHERE d.model_run_id = p.model_run_id AND d.data_row_id = p.data_row_id AND d.ordinal = k.ordinal
            AND NOT d.undone
      )
    GROUP BY k.model_class, k.reason
""")


@dataclass(frozen=True, slots=True)
class _Decided:
    accepted: int = 0
    edited: int = 0
    all: int = 0


async def read_ledger(session: AsyncSession, run: ModelRunRow) -> Ledger:
    """Exact within one snapshot, as a reader's session gives."""
    of = {"workspace": run.workspace_id, "run": run.id}
    version = {**of, "version": run.alignment_version}
    decided = {name: _Decided(*counts) for name, *counts in await session.execute(_DECIDED, of)}
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for name, reason, count in await session.execute(_COUNTS, version):
        counts[name][reason] = int(count)
    for name, reason, count in await session.execute(_KEPT, version):
        counts[name][reason] -= count
        counts[name][SHOWN] = counts[name].get(SHOWN, 0) + count
    classes = [
        _class(name, by_reason, decided.get(name, _Decided()), run) for name, by_reason in sorted(counts.items())
    ]
    return Ledger(model_run_id=run.id, alignment_version=run.alignment_version, classes=classes)


def hidden_in(ledger: Ledger) -> int:
    """The detections that are hidden since the run was undone or discarded."""
    return sum(one.dropped.get(DISCARDED, 0) + one.dropped.get(UNDONE, 0) for one in ledger.classes)


def _class(name: str, by_reason: dict[str, int], decided: _Decided, run: ModelRunRow) -> LedgerClass:
    dropped = {reason: count for reason, count in by_reason.items() if reason != SHOWN and count}
    shown = by_reason.get(SHOWN, 0)
    if run.hides_pending and shown > decided.all:
        dropped[DISCARDED if run.results_discarded else UNDONE] = shown - decided.all
        shown = decided.all
    return LedgerClass(
        model_class=name,
        raw=sum(by_reason.values()),
        shown=shown,
        dropped=dropped,
        pending=shown - decided.all,
        accepted=decided.accepted,
        edited=decided.edited,
        rejected=decided.all - decided.accepted - decided.edited,
    )
