"""Every order of the review queue. To add one: write it here as SQL that goes by an index, name it in `ORDERS`.

An order finds open data rows that nobody else has reserved, after a key, and gives the key of each: what the order goes
by, then the data row. Columns named `submitted` only keep reviewed rows out of the indexes; the review itself decides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.review_queue.schemas import QueueFilter
from shared.database.tables import ProjectRow
from shared.errors import Conflict

MOST_RUNS = 20
"""Without a run in the filter, the queue looks at this many of the newest."""

Key = tuple[Any, ...]

HEADS = f"""
    heads AS MATERIALIZED (
        SELECT id, alignment_version FROM model_runs
        WHERE workspace_id = :workspace AND project_id = :project AND purpose <> 'preview'
          AND NOT results_discarded AND undone_at IS NULL AND (CAST(:run AS uuid) IS NULL OR id = :run)
        ORDER BY id DESC LIMIT {MOST_RUNS}
    )
"""
# The clock is asked for each row, so that the planner looks the review up by its key and joins nothing.
_FREE = """
    NOT EXISTS (
        SELECT 1 FROM data_row_reviews v WHERE v.data_row_id = {row}
          AND (v.state <> 'open' OR (v.reserved_by <> :member AND v.reserved_until > clock_timestamp()))
    )
"""
_IN_BATCH = "AND EXISTS (SELECT 1 FROM batch_data_rows i WHERE i.batch_id = :batch AND i.data_row_id = {row})"
_IN_RUN = """
    AND EXISTS (
        SELECT 1 FROM heads h JOIN row_projections i ON i.model_run_id = h.id
          AND i.alignment_version = h.alignment_version WHERE i.data_row_id = {row}
    )
"""
_OF_FEATURE = """
    AND EXISTS (
        SELECT 1 FROM heads h
        JOIN alignment_entries e ON e.model_run_id = h.id AND e.version = h.alignment_version
        JOIN detections x ON x.model_run_id = h.id AND x.model_class = e.model_class AND x.confidence >= e.threshold
        WHERE e.feature_schema_id = :feature AND x.data_row_id = {row}
    )
"""


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked for: from whose eyes, after which key, how many. `score` is not a part of what is asked."""

    project: ProjectRow
    member_id: UUID
    wanted: QueueFilter
    after: Key | None
    limit: int

    @property
    def given(self) -> dict[str, Any]:
        return {
            "workspace": self.project.workspace_id,
            "project": self.project.id,
            "member": self.member_id,
            "run": self.wanted.model_run_id,
            "batch": self.wanted.batch_id,
            "feature": self.wanted.feature_schema_id,
            "limit": self.limit,
        }

    def filters(self, row: str) -> str:
        parts = [_FREE]
        parts += [_IN_BATCH] if self.wanted.batch_id else []
        parts += [_OF_FEATURE] if self.wanted.feature_schema_id else []
        return " ".join(parts).format(row=row)


@dataclass(frozen=True, slots=True)
class Candidate:
    data_row_id: UUID
    key: Key
    score: float | None = None


async def by_score(session: AsyncSession, look: Look, score: str) -> list[Candidate]:
    """By what is stored beside each row that a run shows; of several runs the one that is least sure."""
    # With one run, no other can be less sure.
    another = (
        ""
        if look.wanted.model_run_id
        else f"""
            AND NOT EXISTS (
                SELECT 1 FROM heads o JOIN row_projections q ON q.model_run_id = o.id
                  AND q.alignment_version = o.alignment_version AND q.data_row_id = p.data_row_id
                WHERE (q.{score}, q.model_run_id) > (p.{score}, p.model_run_id)
            )
        """
    )
    return await _scored(
        session,
        look,
        f"""
        WITH {HEADS}
        SELECT c.data_row_id, c.score FROM heads r CROSS JOIN LATERAL (
            SELECT p.data_row_id, p.{score} AS score FROM row_projections p
            WHERE p.model_run_id = r.id AND p.alignment_version = r.alignment_version AND NOT p.submitted
              {_after(look, f"p.{score}", "p.data_row_id")} AND {look.filters("p.data_row_id")} {another}
            ORDER BY p.{score} DESC, p.data_row_id DESC LIMIT :limit
        ) c
        ORDER BY c.score DESC, c.data_row_id DESC LIMIT :limit
        """,
    )


async def by_disagreement(session: AsyncSession, look: Look) -> list[Candidate]:
    """By the newest comparison of runs. Raises Conflict while there is none."""
    compared = await session.scalar(
        text(_COMPARISON), {name: look.given[name] for name in ("workspace", "project", "run")}
    )
    if compared is None:
        raise Conflict(
            "no runs of the project have been compared: POST to its run-comparisons first", code="runs_not_compared"
        )
    return await _scored(
        session,
        look,
        f"""
        WITH {HEADS}
        SELECT p.data_row_id, p.disagreement FROM row_disagreements p
        WHERE p.comparison_id = '{compared}' AND NOT p.submitted
          {_after(look, "p.disagreement", "p.data_row_id")} AND {look.filters("p.data_row_id")}
        ORDER BY p.disagreement DESC, p.data_row_id DESC LIMIT :limit
        """,
    )


async def by_position(session: AsyncSession, look: Look) -> list[Candidate]:
    """In the order in which the data rows were imported."""
    return [Candidate(row, (str(row),)) for row in await _positions(session, look, look.after, "")]


async def by_priority(session: AsyncSession, look: Look) -> list[Candidate]:
    """Batch by batch, the most urgent first; last the data rows that are in none."""
    found = [] if look.after and look.after[1] is None else await _in_batches(session, look)
    if len(found) < look.limit and look.wanted.batch_id is None:
        alone = "AND NOT EXISTS (SELECT 1 FROM batch_data_rows m WHERE m.data_row_id = d.id)"
        after = (look.after[2],) if look.after and look.after[1] is None else None
        rows = await _positions(session, look, after, alone)
        found += [Candidate(row, (None, None, str(row))) for row in rows]
    return found[: look.limit]


_COMPARISON = """
    SELECT id FROM run_comparisons
    WHERE workspace_id = :workspace AND project_id = :project AND state = 'ready'
      AND (CAST(:run AS uuid) IS NULL OR :run = ANY(model_run_ids))
    ORDER BY id DESC LIMIT 1
"""
_BATCHES = """
    WITH {heads}
    SELECT b.priority, b.id, m.data_row_id
    FROM (
        SELECT id, priority FROM batches
        WHERE workspace_id = :workspace AND project_id = :project AND (CAST(:batch AS uuid) IS NULL OR id = :batch)
          AND (priority, id) >= (:priority, CAST(:after_batch AS uuid))
    ) b
    CROSS JOIN LATERAL (
        SELECT m.data_row_id FROM batch_data_rows m
        WHERE m.batch_id = b.id AND NOT m.submitted
          AND m.data_row_id > CASE WHEN b.id = :after_batch THEN CAST(:after_row AS uuid) ELSE CAST(:first AS uuid) END
          AND {filters} {in_run}
          AND NOT EXISTS (
              SELECT 1 FROM batch_data_rows n JOIN batches o ON o.id = n.batch_id
              WHERE n.data_row_id = m.data_row_id AND (o.priority, o.id) < (b.priority, b.id)
                AND CAST(:batch AS uuid) IS NULL
          )
        ORDER BY m.data_row_id LIMIT :limit
    ) m
    ORDER BY b.priority, b.id, m.data_row_id LIMIT :limit
"""
_FIRST = UUID(int=0)


async def _in_batches(session: AsyncSession, look: Look) -> list[Candidate]:
    priority, batch_id, row = look.after or (0, _FIRST, _FIRST)
    in_run = _IN_RUN.format(row="m.data_row_id") if look.wanted.model_run_id else ""
    sql = _BATCHES.format(heads=HEADS, filters=look.filters("m.data_row_id"), in_run=in_run)
    given = {"priority": priority, "after_batch": _id(batch_id), "after_row": _id(row), "first": _FIRST}
    rows = await session.execute(text(sql), _given(look, sql, given))
    return [Candidate(row_id, (urgency, str(batch), str(row_id))) for urgency, batch, row_id in rows]


async def _positions(session: AsyncSession, look: Look, after: Key | None, more: str) -> Sequence[UUID]:
    in_run = _IN_RUN.format(row="d.id") if look.wanted.model_run_id else ""
    sql = f"""
        WITH {HEADS}
        SELECT d.id FROM data_rows d
        WHERE d.workspace_id = :workspace AND d.project_id = :project AND NOT d.submitted AND d.id > :after_row
          AND {look.filters("d.id")} {in_run} {more}
        ORDER BY d.id LIMIT :limit
    """
    found = await session.scalars(text(sql), _given(look, sql, {"after_row": _id(after[0]) if after else _FIRST}))
    return found.all()


def _after(look: Look, score: str, row: str) -> str:
    return f"AND ({score}, {row}) < (:after_score, CAST(:after_row AS uuid))" if look.after else ""


async def _scored(session: AsyncSession, look: Look, sql: str) -> list[Candidate]:
    after = {"after_score": look.after[0], "after_row": _id(look.after[1])} if look.after else {}
    rows = await session.execute(text(sql), _given(look, sql, after))
    return [Candidate(row_id, (score, str(row_id)), score) for row_id, score in rows]


def _given(look: Look, sql: str, more: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**look.given, **more}.items() if f":{name}" in sql}


def _id(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))


async def _least_confidence(session: AsyncSession, look: Look) -> list[Candidate]:
    return await by_score(session, look, "uncertainty")


async def _margin(session: AsyncSession, look: Look) -> list[Candidate]:
    return await by_score(session, look, "margin")


async def _entropy(session: AsyncSession, look: Look) -> list[Candidate]:
    return await by_score(session, look, "entropy")


ORDERS: Mapping[str, Callable[[AsyncSession, Look], Any]] = {
    "uncertainty": _least_confidence,
    "least_confidence": _least_confidence,
    "margin": _margin,
    "entropy": _entropy,
    "disagreement": by_disagreement,
    "priority": by_priority,
    "position": by_position,
}
