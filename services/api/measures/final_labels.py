"""What a run shows of data rows, set against the labels that people left there, whoever's pre-labels they came from."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.previews.compare import Tally, tally
from services.api.previews.looking import labels_of
from services.api.previews.matching import Place, Thing
from services.api.previews.sweep import thing_of
from services.api.projections.reading import Reader
from shared.alignment import Alignment
from shared.database.alignments import read_alignment
from shared.database.tables import ModelRunRow
from shared.selection import select as select_shown

_ROWS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Against:
    """A run, the alignment it is seen through, and the features and options that count."""

    run: ModelRunRow
    alignment: Alignment
    places: Set[Place]


async def against(session: AsyncSession, run: ModelRunRow) -> Against:
    """All that it could show."""
    alignment = await read_alignment(session, run)
    return Against(run, alignment, places_of(alignment))


def places_of(alignment: Alignment) -> frozenset[Place]:
    entries = [entry for of_class in alignment.by_class.values() for _, entry in of_class]
    return frozenset((entry.target.feature_schema_id, entry.target.option_id) for entry in entries)


async def tallies(
    session: AsyncSession, of: Against, data_row_ids: Sequence[UUID], *, withheld: bool = False
) -> dict[UUID, Tally]:
    """One a row: `same`, what only the run shows, and what only the labels say. `withheld`: of what was not shown."""
    found: dict[UUID, Tally] = {}
    for start in range(0, len(data_row_ids), _ROWS_AT_ONCE):
        ids = data_row_ids[start : start + _ROWS_AT_ONCE]
        shown = await shown_things(session, of, ids, withheld=withheld)
        labels = await labels_of(session, of.run.workspace_id, ids)
        for row_id in ids:
            found[row_id] = tally(_of(shown, row_id, of.places), _of(labels, row_id, of.places))
    return found


async def shown_things(
    session: AsyncSession, of: Against, ids: Sequence[UUID], *, withheld: bool = False
) -> dict[UUID, list[Thing]]:
    """What the run shows of each, the surest first."""
    seen = {}
    for row in await Reader(session, of.run, of.alignment, whole=True, withheld=withheld).these(ids):
        visible = sorted(select_shown(row.detections, of.alignment).visible, key=lambda one: -one.detection.confidence)
        seen[row.data_row_id] = [thing_of(one) for one in visible]
    return seen


def _of(things: Mapping[UUID, Sequence[Thing]], row_id: UUID, places: Set[Place]) -> list[Thing]:
    return [thing for thing in things.get(row_id, ()) if thing.place in places]
