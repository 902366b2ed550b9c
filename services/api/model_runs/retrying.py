"""Cutting the rows of a retry into segments: their failed outcomes go, and how often they were tried stays."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import ModelRunRow

# Rows without an outcome are those of this execution's cancelled segments: an execution begins with all there are.
_CUT = text("""
    WITH gone AS (
        DELETE FROM row_outcomes
        WHERE workspace_id = :workspace AND model_run_id = :run AND state = 'failed'
        RETURNING data_row_id, attempts
    ), wanted AS (
        SELECT data_row_id, attempts FROM gone
        UNION ALL
        SELECT r.id, coalesce(r.attempts, 0)
        FROM segments s, unnest(s.data_row_ids, s.earlier_attempts) AS r(id, attempts)
        WHERE s.model_run_id = :run AND s.execution = :execution AND s.state = 'cancelled'
          AND NOT EXISTS (SELECT 1 FROM row_outcomes o WHERE o.model_run_id = :run AND o.data_row_id = r.id)
    ), placed AS (
        SELECT data_row_id, attempts, (row_number() OVER (ORDER BY data_row_id) - 1) / :size AS ordinal FROM wanted
    )
    INSERT INTO segments
        (id, workspace_id, project_id, model_run_id, execution, ordinal, priority, purpose, data_row_ids,
         earlier_attempts)
    SELECT gen_random_uuid(), :workspace, :project, :run, :execution + 1, ordinal, :priority, :purpose,
           array_agg(data_row_id ORDER BY data_row_id), array_agg(attempts ORDER BY data_row_id)
    FROM placed GROUP BY ordinal
    RETURNING cardinality(data_row_ids)
""")

# Progress is summed over all segments of a run, and these rows are to be counted again.
_UNCOUNT = text("UPDATE segments SET failed = 0 WHERE model_run_id = :run AND execution <= :execution AND failed > 0")


async def cut_failed_rows(session: AsyncSession, run: ModelRunRow, size: int) -> list[int]:
    """For a held run that has ended; says how many rows each segment of the next execution got."""
    of = {"run": run.id, "execution": run.execution}
    more = {"workspace": run.workspace_id, "project": run.project_id, "priority": run.priority, "purpose": run.purpose}
    made = await session.scalars(_CUT, {**of, **more, "size": size})
    await session.execute(_UNCOUNT, of)
    return list(made)
