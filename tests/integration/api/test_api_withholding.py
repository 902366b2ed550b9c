import asyncio
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select

from services.api.access.principal import Role
from services.api.draws import is_drawn
from shared.database.tables import WithheldRowRow, WithholdingRow
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def put(stage: Stage, share: float, role: Role = Role.EDITOR) -> httpx2.Response:
    client = stage.api.as_(stage.workspace, role)
    return await client.put(f"/v1/projects/{stage.project}/withholding", json={"share": share})


async def withheld(stage: Stage) -> set[UUID]:
    async with stage.api.resources.sessions() as session:
        found = await session.scalars(
            select(WithheldRowRow.data_row_id).where(WithheldRowRow.project_id == UUID(stage.project))
        )
        return set(found)


async def seed(stage: Stage) -> bytes:
    async with stage.api.resources.sessions() as session:
        return (await session.get_one(WithholdingRow, UUID(stage.project))).seed


async def test_rows_are_drawn_by_the_secret_seed_when_a_run_is_made(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=60)
    path = f"/v1/projects/{stage.project}/withholding"
    nothing = await stage.get(path)
    assert (nothing["share"], nothing["withheld"], nothing["created_at"]) == (0.0, 0, None)
    assert (await put(stage, 0.3)).json()["share"] == 0.3
    assert await withheld(stage) == set()
    await stage.worker.end(await stage.submit())
    drawn = {row for row in stage.rows if is_drawn(await seed(stage), row, 0.3)}
    assert await withheld(stage) == drawn
    assert 5 <= len(drawn) <= 35
    found = await stage.get(path)
    assert (found["withheld"], found["submitted"]) == (len(drawn), 0)
    assert (await seed(stage)).hex() not in str(found)


async def test_a_greater_share_keeps_who_was_drawn_and_none_draws_no_more(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=60)
    await put(stage, 0.1)
    await stage.worker.end(await stage.submit())
    first = await withheld(stage)
    await put(stage, 0.5)
    await stage.worker.end(await stage.submit())
    second = await withheld(stage)
    assert first < second
    await put(stage, 0.0)
    await stage.worker.end(await stage.submit())
    assert await withheld(stage) == second


async def test_rows_that_were_seen_or_worked_on_are_never_drawn(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=40)
    run_id = await stage.submit()
    seen = stage.rows[:20]
    await stage.worker.store(run_id, {row: [("person", 0.9)] for row in seen})
    await stage.worker.end(run_id, "failed")
    await put(stage, 0.5)
    await stage.worker.end(await stage.submit())
    drawn = {row for row in stage.rows[20:] if is_drawn(await seed(stage), row, 0.5)}
    assert await withheld(stage) == drawn


async def test_the_share_stays_while_a_run_is_open(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    await put(stage, 0.2)
    run_id = await stage.submit()
    refused = await put(stage, 0.3)
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_ended")
    assert (await put(stage, 0.2)).status_code == 200
    await stage.worker.end(run_id)
    assert (await put(stage, 0.3)).status_code == 200


@pytest.mark.parametrize("share", [-0.1, 0.51, "many", None])
async def test_shares_that_are_none(api: Api, workspace: Workspace, share: Any) -> None:
    stage = await make_stage(api, workspace, rows=0)
    assert (await put(stage, share)).status_code == 422


async def test_only_editors_see_it(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=0)
    assert (await put(stage, 0.1, Role.LABELER)).status_code == 403
    path = f"/v1/projects/{stage.project}/withholding"
    assert (await api.as_(workspace, Role.LABELER).get(path)).status_code == 403
    assert (await api.as_(elsewhere).get(path)).status_code == 404


async def test_runs_made_at_once_draw_the_same(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=40)
    await put(stage, 0.4)
    await asyncio.gather(*(stage.submit() for _ in range(4)))
    drawn = {row for row in stage.rows if is_drawn(await seed(stage), row, 0.4)}
    assert await withheld(stage) == drawn
