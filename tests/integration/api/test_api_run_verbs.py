"""The verbs of a run through the front door: which in which state, who may, and one in the middle of another."""

import asyncio

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Role
from services.api.model_runs import queries
from services.api.model_runs.queries import lock_open_segments
from shared.contracts.run_verbs import VERBS, RunVerb, allowed_verbs
from shared.database.tables import ModelRunRow, SegmentRow
from tests.integration.api.run_verbs import do, events, put, with_failures
from tests.integration.api.stage import make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def test_every_verb_in_every_state(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    for state in (
        "queued",
        "running",
        "stalled",
        "paused",
        "completed",
        "completed_with_errors",
        "cancelled",
        "failed",
    ):
        await put(stage, run_id, state=state)
        run = await stage.get(f"/v1/model-runs/{run_id}")
        expected = [verb for verb, states in VERBS.items() if state in states]
        assert run["allowed_verbs"] == expected == list(allowed_verbs(state, "run", hides_pending=False))
        (listed,) = await stage.pages(f"/v1/projects/{stage.project}/model-runs")
        assert listed["allowed_verbs"] == expected
        for verb in VERBS:
            if verb in expected or (verb, state) == ("pause", "paused"):
                continue
            answer = await do(stage, verb, run_id)
            if verb == "resume" and state in VERBS["pause"]:
                assert (answer.status_code, answer.json()["state"]) == (200, state)
                continue
            assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition"), (verb, state)
            assert (answer.json()["state"], answer.json()["allowed_verbs"]) == (state, expected)
    assert [one["type"] for one in await events(stage, run_id)][2:] == [], "what is refused or in vain is not told"


async def test_roles_foreign_runs_previews_and_imports(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    preview = await stage.client.post(
        f"/v1/projects/{stage.project}/previews", json={**stage.body(), "sample": {"size": 2, "method": "first"}}
    )
    assert preview.status_code == 202, preview.text
    for verb in VERBS:
        assert (await do(stage, verb, run_id, api.as_(workspace, Role.LABELER))).status_code == 403, verb
        assert (await do(stage, verb, run_id, api.as_(elsewhere))).status_code == 404, verb
        assert (await do(stage, verb, preview.json()["id"])).status_code == 404, verb
    assert "pause" not in (await stage.get(f"/v1/previews/{preview.json()['id']}"))
    await put(stage, run_id, purpose="import", configuration={}, catalog_model_id=None, source={"name": "elsewhere"})
    assert (await stage.get(f"/v1/model-runs/{run_id}"))["allowed_verbs"] == ["undo"]
    for verb in ("pause", "resume", "retry_failed"):
        answer = await do(stage, verb, run_id)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_model"), verb
    assert (await do(stage, "undo", run_id)).status_code == 200


async def test_a_retry_between_the_locks_of_another_verb_is_seen(
    api: Api, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    await stage.worker.take(run_id)
    looks, looking = 0, asyncio.Event()

    async def lock(session: AsyncSession, run: ModelRunRow) -> None:
        nonlocal looks
        looks += 1
        looking.set()
        await lock_open_segments(session, run)

    monkeypatch.setattr(queries, "lock_open_segments", lock)
    async with api.resources.sessions.begin() as session:
        (segment,) = await session.scalars(
            select(SegmentRow).where(SegmentRow.model_run_id == run_id).with_for_update()
        )
        cancelling = asyncio.create_task(do(stage, "cancel", run_id, json={}))
        await looking.wait()
        segment.state = "done"
        names = ("workspace_id", "project_id", "model_run_id", "ordinal", "data_row_ids")
        session.add(SegmentRow(execution=2, **{name: getattr(segment, name) for name in names}))
        await session.execute(update(ModelRunRow).where(ModelRunRow.id == run_id).values(execution=2, state="queued"))
    run = (await cancelling).json()
    assert (run["state"], run["execution"], looks) == ("cancelled", 2, 2)
    async with api.resources.sessions() as session:
        found = select(SegmentRow.state).where(SegmentRow.model_run_id == run_id).order_by(SegmentRow.execution)
        assert list(await session.scalars(found)) == ["done", "cancelled"]


@pytest.mark.parametrize(
    ("verb", "state"), [("pause", "stalled"), ("resume", "paused"), ("retry_failed", "completed_with_errors")]
)
async def test_what_it_waited_for_before_is_forgotten(
    api: Api, workspace: Workspace, verb: RunVerb, state: str
) -> None:
    """Or it would be left out of the age of the queue."""
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    await put(stage, run_id, state=state, state_reason="no weights", waiting_for="model")
    assert (await do(stage, verb, run_id)).is_success
    async with api.resources.sessions() as session:
        assert (await session.get_one(ModelRunRow, run_id)).waiting_for is None
