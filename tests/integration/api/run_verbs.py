"""Verbs of a run as its users do them, and what they see of it, for tests."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import update

from services.api.access.principal import Role
from shared.contracts.run_verbs import RunVerb
from shared.database.tables import ModelRunRow
from tests.integration.api.stage import Stage
from tests.integration.api.test_api_realign import SAID

_PATHS: Mapping[RunVerb, str] = {
    "cancel": "cancel",
    "pause": "pause",
    "resume": "resume",
    "retry_failed": "retry-failed",
    "undo": "pre-labels",
}


async def do(
    stage: Stage, verb: RunVerb, run_id: UUID | str, client: httpx2.AsyncClient | None = None, **more: Any
) -> Any:
    method = "DELETE" if verb == "undo" else "POST"
    path = f"/v1/model-runs/{run_id}/{_PATHS[verb]}"
    return await (client or stage.api.as_(stage.workspace, Role.EDITOR)).request(method, path, **more)


async def events(stage: Stage, run_id: UUID) -> list[dict[str, Any]]:
    found = await stage.get(f"/v1/projects/{stage.project}/events", limit=1000)
    return [item["event"] for item in found["items"] if item["event"]["subject"]["id"] == str(run_id)]


async def put(stage: Stage, run_id: UUID, **values: Any) -> None:
    async with stage.api.resources.sessions.begin() as session:
        await session.execute(update(ModelRunRow).where(ModelRunRow.id == run_id).values(**values))


async def with_failures(stage: Stage, **more: Any) -> UUID:
    """A run that ended with errors: rows 1 and 3 of five failed."""
    run_id = await stage.submit(**more)
    said = {row: SAID.get(place, ()) for place, row in enumerate(stage.rows) if place not in {1, 3}}
    await stage.worker.store(run_id, said, {stage.rows[1]: "undecodable_image", stage.rows[3]: "too_large"})
    await stage.worker.end(run_id, "completed_with_errors")
    return run_id


async def outcomes(stage: Stage, run_id: UUID, **query: Any) -> dict[int, Any]:
    found = await stage.pages(f"/v1/model-runs/{run_id}/outcomes", **query)
    return {stage.rows.index(UUID(one["data_row_id"])): one for one in found}
