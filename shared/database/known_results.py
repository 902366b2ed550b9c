"""Which data rows a workspace has a result for already: by fingerprint, whatever run or data row it is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# Without another run of the model nothing is looked up. Of equal results only some are looked at, so that a content
# that is there a million times costs no more than any other.
_KNOWN = """
    FROM data_row_contents c
    CROSS JOIN LATERAL (
        SELECT alike.model_run_id, alike.data_row_id, alike.fingerprint, alike.detections
        FROM (
            SELECT o.model_run_id, o.data_row_id, o.fingerprint, o.detections FROM row_outcomes o
            WHERE o.workspace_id = :workspace AND o.fingerprint = sha256(CAST(:recipe AS bytea) || c.sha256)
            LIMIT 16
        ) alike
        JOIN model_runs r ON r.id = alike.model_run_id
        JOIN projects p ON p.id = r.project_id
        WHERE NOT r.results_discarded AND p.deleted_at IS NULL
        LIMIT 1
    ) source
    WHERE c.workspace_id = :workspace AND c.data_row_id = ANY(CAST(:ids AS uuid[])) AND c.sha256 IS NOT NULL
      AND EXISTS (
          SELECT 1 FROM model_runs
          WHERE catalog_model_id = :model AND workspace_id = :workspace AND started_at IS NOT NULL
            AND id IS DISTINCT FROM CAST(:run AS uuid)
      )
"""
_FIND = text(
    "SELECT c.data_row_id, source.fingerprint, source.model_run_id, source.data_row_id, source.detections" + _KNOWN
)
_COUNT = text("SELECT count(*)" + _KNOWN)


@dataclass(frozen=True, slots=True)
class Known:
    """A data row, and the outcome of a run that has its result, with so many detections."""

    data_row_id: UUID
    fingerprint: bytes
    source_run_id: UUID
    source_row_id: UUID
    detections: int


@dataclass(frozen=True, slots=True)
class Question:
    """`model_run_id` is the run that asks; its own results alone are no reason to look."""

    workspace_id: UUID
    catalog_model_id: UUID
    recipe_key: bytes
    data_row_ids: Sequence[UUID]
    model_run_id: UUID | None = None

    def parameters(self) -> dict[str, Any]:
        return {
            "workspace": self.workspace_id,
            "model": self.catalog_model_id,
            "recipe": self.recipe_key,
            "ids": list(self.data_row_ids),
            "run": self.model_run_id,
        }


async def find_known(session: AsyncSession, question: Question) -> list[Known]:
    """Results that are there now. Whoever copies one checks again."""
    found = await session.execute(_FIND, question.parameters())
    return [Known(*one) for one in found]


async def count_known(session: AsyncSession, question: Question) -> int:
    return await session.scalar(_COUNT, question.parameters()) or 0
