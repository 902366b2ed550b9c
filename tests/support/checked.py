"""What holds of every run over numbers (`tests.support.workers`) that has ended, whatever happened to it."""

from collections import Counter
from uuid import UUID

from shared.database.tables import RowOutcomeRow
from tests.support.workers import model_class
from tests.support.world import World


async def check(
    world: World, run_id: UUID, rows: list[UUID], failed: dict[int, str] | None = None
) -> list[RowOutcomeRow]:
    """One outcome a row, the right one; counters and events that agree. Answers the outcomes in the rows' order."""
    failed = failed or {}
    found = {outcome.data_row_id: outcome for outcome in await world.outcomes(run_id)}
    outcomes = [found[row] for row in rows]
    assert len(found) == len(rows)
    assert {n: one.code for n, one in enumerate(outcomes) if one.state == "failed"} == failed
    assert Counter(one.state for one in outcomes) == Counter(
        {"succeeded": len(rows) - len(failed), **({"failed": len(failed)} if failed else {})}
    )
    said: dict[UUID, list[str]] = {row: [] for row in rows}
    for one in await world.detections(run_id):
        said[one.data_row_id].append(one.model_class)
    for number, row in enumerate(rows):
        other = model_class(number + 1)
        assert said[row] == ([] if number in failed else [model_class(number), other]), "each row has its own answer"
    run, segments = await world.run(run_id), await world.segments(run_id)
    detections = 2 * (len(rows) - len(failed))
    expected = (len(rows) - len(failed), len(failed), detections)
    assert (run.succeeded, run.failed, run.detections) == expected
    assert tuple(sum(getattr(s, name) for s in segments) for name in ("succeeded", "failed", "detections")) == expected
    assert {segment.state for segment in segments} == {"done"}
    events = [kind for _, kind in await world.event_types()]
    assert events[-1] == f"model_run.{run.state}"
    assert sum(kind.startswith("model_run.completed") for kind in events) == 1
    return outcomes
