"""Proof that a pre-label is shown now: its id alone is only a claim."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.view import Place, View, Viewed
from services.api.review import queries
from shared.database.tables import DataRowRow, ModelRunRow
from shared.errors import Problems
from shared.pre_label_id import PreLabelId, parse_pre_label_id
from shared.selection import PreLabel


@dataclass(frozen=True, slots=True)
class Proven:
    """A pre-label a person saw. `decided`: somebody has decided about it already."""

    id: PreLabelId
    run: ModelRunRow
    pre_label: PreLabel
    decided: bool


async def prove(
    session: AsyncSession, data_row: DataRowRow, claimed: Mapping[int, str], problems: Problems
) -> dict[int, Proven]:
    """By place in the request. What is no pre-label of this data row, or not shown any more, is a problem."""
    ids = _parse(data_row, claimed, problems)
    runs = await queries.hold_runs(session, data_row, list({one.model_run_id for one in ids.values()}))
    looked = await _look(session, data_row, runs)
    proven = {}
    for index, one in ids.items():
        viewed = looked.get(one.model_run_id, {}).get((one.ordinal, one.feature_schema_id))
        run = runs.get(one.model_run_id)
        if run is None or viewed is None or (run.hides_pending and viewed.state == "pending"):
            detail = "no run shows this pre-label on this data row"
            problems.add(f"/decisions/{index}/pre_label_id", "pre_label_not_shown", detail)
        else:
            proven[index] = Proven(one, run, viewed.pre_label, viewed.state != "pending")
    return proven


def _parse(data_row: DataRowRow, claimed: Mapping[int, str], problems: Problems) -> dict[int, PreLabelId]:
    found: dict[int, PreLabelId] = {}
    for index, pre_label_id in claimed.items():
        pointer = f"/decisions/{index}/pre_label_id"
        parsed = parse_pre_label_id(pre_label_id)
        if parsed is None or parsed.data_row_id != data_row.id:
            problems.add(pointer, "unknown_pre_label", "this is no pre-label of this data row")
        elif parsed in found.values():
            problems.add(pointer, "duplicate_decision", "the same pre-label stands twice in the request")
        else:
            found[index] = parsed
    return found


async def _look(
    session: AsyncSession, data_row: DataRowRow, runs: Mapping[UUID, ModelRunRow]
) -> dict[UUID, dict[Place, Viewed]]:
    looked = {}
    for run in runs.values():
        viewed = (await (await View.of(session, run)).look([data_row.id]))[data_row.id]
        looked[run.id] = {one.place: one for one in viewed}
    return looked
