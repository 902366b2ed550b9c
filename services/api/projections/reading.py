"""Reading a run's results in data row order, some thousand detections at a time, straight from the driver.

A pydantic object or an ORM row for each detection would cost more than all the rest.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.projections.seeing import Decided
from shared.alignment import Alignment
from shared.database.driver import driver_of
from shared.database.tables import ModelRunRow
from shared.detections import StoredDetection
from shared.run_configuration import RunConfiguration

_ROWS_AT_ONCE = 2_000
_DETECTIONS_AT_ONCE = 10_000
_FIRST = UUID(int=0)

_NEXT_ROWS = """
    SELECT data_row_id, detections FROM row_outcomes
    WHERE workspace_id = $1 AND model_run_id = $2 AND state = 'succeeded' AND data_row_id > $3
    ORDER BY data_row_id LIMIT $4
"""
_THESE_ROWS = """
    SELECT data_row_id FROM row_outcomes
    WHERE workspace_id = $1 AND model_run_id = $2 AND state = 'succeeded' AND data_row_id = ANY($3)
    ORDER BY data_row_id
"""
_DETECTIONS = """
    SELECT data_row_id, ordinal, model_class, confidence, area,
           CASE WHEN $5::text IS NULL THEN annotation ->> 'kind' ELSE $5 END, attributes::text,
           CASE WHEN model_class = ANY($4::text[]) THEN annotation::text END
    FROM {table} WHERE workspace_id = $1 AND model_run_id = $2 AND data_row_id = ANY($3)
    ORDER BY data_row_id, ordinal
"""
_DECISIONS = """
    SELECT data_row_id, ordinal, feature_schema_id FROM decisions
    WHERE workspace_id = $1 AND model_run_id = $2 AND data_row_id = ANY($3) AND NOT undone AND ordinal IS NOT NULL
"""
_REVIEWS = """
    SELECT data_row_id, revision, state = 'submitted' FROM data_row_reviews
    WHERE workspace_id = $1 AND data_row_id = ANY($2)
"""


@dataclass(slots=True)
class ReadRow:
    """`revision` is the review's, read before the decisions: a later one then shows."""

    data_row_id: UUID
    detections: list[StoredDetection] = field(default_factory=list)
    decided: Decided = field(default_factory=dict)
    revision: int = 0
    submitted: bool = False


class Reader:
    """For one transaction that has begun. `whole`: with every annotation that may be shown, not only those `select`
    must look at. `withheld`: of what was found in withheld data rows, which may be told in sums alone."""

    def __init__(
        self,
        session: AsyncSession,
        run: ModelRunRow,
        alignment: Alignment,
        *,
        whole: bool = False,
        withheld: bool = False,
    ) -> None:
        self._session = session
        self._run = run
        self._of = (run.workspace_id, run.id)
        card = RunConfiguration.model_validate(run.configuration).card if run.configuration else None
        # Every detection of a model is of its card's kind; those of an import may be of any.
        self._kind = card.annotation_kind if card else None
        self._detections = _DETECTIONS.format(table="withheld_detections" if withheld else "detections")
        self._classes = list(alignment.by_class) if whole else alignment.classes_to_look_at(self._kind)

    async def rows_after(self, last: UUID | None) -> list[ReadRow]:
        """The next rows, with some thousand detections together but at least one row; none at the end."""
        driver = await driver_of(self._session)
        found = await driver.fetch(_NEXT_ROWS, *self._of, last or _FIRST, _ROWS_AT_ONCE)
        ids: list[UUID] = []
        detections = 0
        for data_row_id, count in found:
            detections += count
            if ids and detections > _DETECTIONS_AT_ONCE:
                break
            ids.append(data_row_id)
        return await self._read(ids)

    async def these(self, data_row_ids: Sequence[UUID]) -> list[ReadRow]:
        """Those of them that the run has results for."""
        driver = await driver_of(self._session)
        found = await driver.fetch(_THESE_ROWS, *self._of, list(data_row_ids))
        return await self._read([data_row_id for (data_row_id,) in found])

    async def _read(self, ids: Sequence[UUID]) -> list[ReadRow]:
        rows = {data_row_id: ReadRow(data_row_id) for data_row_id in ids}
        if rows and self._run.purpose != "preview":  # which nobody reviews
            await self._add_decided(rows)
        if rows:
            driver = await driver_of(self._session)
            for data_row_id, *fields in await driver.fetch(self._detections, *self._of, ids, self._classes, self._kind):
                rows[data_row_id].detections.append(StoredDetection(*fields))
        return list(rows.values())

    async def _add_decided(self, rows: dict[UUID, ReadRow]) -> None:
        driver, ids = await driver_of(self._session), list(rows)
        for data_row_id, revision, submitted in await driver.fetch(_REVIEWS, self._run.workspace_id, ids):
            rows[data_row_id].revision, rows[data_row_id].submitted = revision, submitted
        decided: defaultdict[UUID, defaultdict[int, set[UUID]]] = defaultdict(lambda: defaultdict(set))
        for data_row_id, ordinal, feature_id in await driver.fetch(_DECISIONS, *self._of, ids):
            decided[data_row_id][ordinal].add(feature_id)
        for data_row_id, of_row in decided.items():
            rows[data_row_id].decided = of_row
