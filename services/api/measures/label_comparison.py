"""Two runs against the labels that people left, on the same data rows and for the same features."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.measures import reading
from services.api.measures.final_labels import Against, against, tallies
from services.api.measures.groups import Proportion, of_clusters, of_rows
from services.api.measures.queries import Names
from services.api.measures.schemas import Estimate, LabelAgreement, LabelComparison
from services.api.previews.compare import Tally
from shared.database.tables import ModelRunRow

MOST_ROWS = 1_000
"""Each is looked at through both alignments within the request."""

Two: TypeAlias = tuple[ModelRunRow, ModelRunRow]

# In an order that has nothing to do with what the rows are: the first of them are drawn at random.
_ROWS = text("""
    SELECT one.data_row_id, count(*) OVER () AS every
    FROM row_outcomes one
    JOIN row_outcomes other ON other.data_row_id = one.data_row_id
    JOIN data_row_reviews v ON v.data_row_id = one.data_row_id
    WHERE one.workspace_id = :workspace AND one.model_run_id = :first AND one.state = 'succeeded'
      AND other.model_run_id = :second AND other.state = 'succeeded'
      AND v.state = 'submitted' AND v.submitted_at >= greatest(one.created_at, other.created_at)
      AND NOT EXISTS (SELECT 1 FROM withheld_rows w WHERE w.data_row_id = one.data_row_id)
    ORDER BY md5(CAST(one.data_row_id AS text)) LIMIT :most
""")


async def by_labels(session: AsyncSession, runs: Two, names: Names) -> LabelComparison:
    of = {"workspace": runs[0].workspace_id, "first": runs[0].id, "second": runs[1].id, "most": MOST_ROWS}
    found = (await session.execute(_ROWS, of)).all()
    ids = [row_id for row_id, _ in found]
    one, other = [await against(session, run) for run in runs]
    places = one.places & other.places
    first, second = [await tallies(session, Against(side.run, side.alignment, places), ids) for side in (one, other)]
    return LabelComparison(
        data_rows=found[0].every if found else 0,
        compared=len(ids),
        targets=[reading.target(place, names) for place in sorted(places, key=str)],
        runs=(_agreement(runs[0].id, list(first.values())), _agreement(runs[1].id, list(second.values()))),
        only_first_right=_only(first, second, ids),
        only_second_right=_only(second, first, ids),
    )


def _agreement(model_run_id: UUID, rows: Sequence[Tally]) -> LabelAgreement:
    return LabelAgreement(
        model_run_id=model_run_id,
        same=sum(row.same for row in rows),
        only_run=sum(row.only_first for row in rows),
        only_labels=sum(row.only_second for row in rows),
        precision=shown(of_clusters([(row.same, row.same + row.only_first) for row in rows])),
        recall=shown(of_clusters([(row.same, row.same + row.only_second) for row in rows])),
        right_data_rows=shown(of_rows(sum(not row.differs for row in rows), len(rows))),
    )


def _only(right: dict[UUID, Tally], wrong: dict[UUID, Tally], ids: Iterable[UUID]) -> int:
    return sum(wrong[row_id].differs and not right[row_id].differs for row_id in ids)


def shown(found: Proportion) -> Estimate:
    return Estimate(value=found.value, low=found.interval.low, high=found.interval.high, of=found.whole)
