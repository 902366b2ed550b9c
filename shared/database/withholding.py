"""Data rows that get no pre-labels: who is drawn, and who was.

A row is drawn when the run, preview or import that would show something of it is made. What is drawn by a secret can be
guessed by nobody, and is the same whenever it is drawn again.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import ModelRunRow

DRAWN = """
    ('x' || encode(substring(sha256({seed} || uuid_send({id})) FOR 6), 'hex'))::bit(48)::bigint
        < {share} * (1::bigint << 48)
"""
"""SQL for: this seed draws this id, for a share of all. `services.api.draws.is_drawn` is the same in Python."""

# Not what somebody has seen already: rows with an outcome, and those another open run is about, since that would have
# drawn them itself.
_DRAW = text(f"""
    INSERT INTO withheld_rows (data_row_id, workspace_id, project_id)
    SELECT DISTINCT row_id, w.workspace_id, w.project_id
    FROM withholdings w, segments s, unnest(s.data_row_ids) AS row_id
    WHERE w.project_id = :project AND w.workspace_id = :workspace AND s.model_run_id = :run
      AND {DRAWN.format(seed="w.seed", id="row_id", share="w.share")}
      AND NOT EXISTS (SELECT 1 FROM data_row_reviews v WHERE v.data_row_id = row_id AND v.revision > 0)
      AND NOT EXISTS (SELECT 1 FROM labels l WHERE l.data_row_id = row_id)
      AND NOT EXISTS (
          SELECT 1 FROM model_runs r JOIN row_outcomes o ON o.model_run_id = r.id
          WHERE r.project_id = :project AND o.data_row_id = row_id
      )
      AND row_id NOT IN (
          SELECT unnest(other.data_row_ids) FROM segments other
          WHERE other.project_id = :project AND other.model_run_id <> :run AND other.state IN ('open', 'leased')
      )
    ON CONFLICT DO NOTHING
""")

_DRAWS = text("SELECT 1 FROM withholdings WHERE project_id = :project AND workspace_id = :workspace AND share > 0")

WITHHELD = "SELECT data_row_id FROM withheld_rows WHERE workspace_id = {workspace} AND data_row_id = ANY({ids})"
"""SQL for: those of these data rows of which nothing may be shown."""

_WITHHELD = text(WITHHELD.format(workspace=":workspace", ids="CAST(:ids AS uuid[])"))


async def draw_withheld(session: AsyncSession, run: ModelRunRow) -> None:
    """For a run, preview or import whose segments have just been stored, in the same transaction."""
    of = {"project": run.project_id, "workspace": run.workspace_id}
    if await session.scalar(_DRAWS, of):
        await session.execute(_DRAW, {**of, "run": run.id})


async def find_withheld(session: AsyncSession, workspace_id: UUID, data_row_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those of these data rows of which nothing may be shown: their detections go to `withheld_detections`, and their
    outcome reads as that of a row in which nothing was found."""
    found = await session.scalars(_WITHHELD, {"workspace": workspace_id, "ids": list(data_row_ids)})
    return frozenset(found)
