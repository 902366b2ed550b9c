"""Where the detections of a run went, class by class."""

from collections import defaultdict

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.schemas import Ledger, LedgerClass
from shared.alignment import SHOWN
from shared.database.tables import ModelRunRow

DISCARDED = "discarded"

_COUNTS = text("""
    SELECT model_class, reason, sum(count) FROM ledger_counts
    WHERE workspace_id = :workspace AND model_run_id = :run AND alignment_version = :version
    GROUP BY model_class, reason ORDER BY model_class, reason
""")
# The ledger counts detections: one that is shown for several features counts once.
_DECIDED = text("""
    SELECT model_class, count(*) FILTER (WHERE accepted), count(*) FILTER (WHERE NOT accepted)
    FROM (
        SELECT shown ->> 'model_class' AS model_class, bool_or(action = 'accept') AS accepted
        FROM decisions
        WHERE workspace_id = :workspace AND model_run_id = :run AND NOT undone
        GROUP BY data_row_id, ordinal, shown ->> 'model_class'
    ) decided
    GROUP BY model_class
""")


async def read_ledger(session: AsyncSession, run: ModelRunRow) -> Ledger:
    of = {"workspace": run.workspace_id, "run": run.id}
    # Decisions first: whoever decides meanwhile is then at worst still pending, and no sum goes below zero.
    decided = {name: (accepted, rejected) for name, accepted, rejected in await session.execute(_DECIDED, of)}
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for name, reason, count in await session.execute(_COUNTS, {**of, "version": run.alignment_version}):
        counts[name][reason] = int(count)
    classes = [_class(name, by_reason, decided.get(name, (0, 0)), run) for name, by_reason in sorted(counts.items())]
    return Ledger(model_run_id=run.id, alignment_version=run.alignment_version, classes=classes)


def _class(name: str, by_reason: dict[str, int], decided: tuple[int, int], run: ModelRunRow) -> LedgerClass:
    accepted, rejected = decided
    dropped = {reason: count for reason, count in by_reason.items() if reason != SHOWN}
    shown = by_reason.get(SHOWN, 0)
    if run.results_discarded and shown > accepted + rejected:
        dropped[DISCARDED] = shown - accepted - rejected
        shown = accepted + rejected
    return LedgerClass(
        model_class=name,
        raw=sum(by_reason.values()),
        shown=shown,
        dropped=dropped,
        pending=shown - accepted - rejected,
        accepted=accepted,
        rejected=rejected,
    )
