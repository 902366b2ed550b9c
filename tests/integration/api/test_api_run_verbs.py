"""Pause, resume, retry and undo through the front door: who may, what they answer, and what everybody sees after."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Role
from services.api.model_runs import queries
from services.api.model_runs.queries import lock_open_segments
from services.api.worker import OPERATIONS
from shared.contracts.run_verbs import VERBS, RunVerb, allowed_verbs
from shared.database.tables import CatalogModelRow, ModelRunRow, SegmentRow
from tests.integration.api.stage import Stage, make_stage
from tests.integration.api.test_api_realign import SAID, decide, ledger, realign, shown
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.operations import operating, until_state

pytestmark = pytest.mark.asyncio

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


async def test_pause_and_resume(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    generation = await stage.worker.take(run_id)
    await stage.worker.store(run_id, {stage.rows[0]: [("person", 0.9)]}, {stage.rows[3]: "undecodable_image"})
    answer = await do(stage, "pause", run_id)
    assert answer.status_code == 200, answer.text
    run = answer.json()
    assert (run["state"], run["done"], run["failed"], run["finished_at"]) == ("paused", 2, 1, None)
    assert run == await stage.get(f"/v1/model-runs/{run_id}")
    async with api.resources.sessions() as session:
        (segment,) = await session.scalars(select(SegmentRow).where(SegmentRow.model_run_id == run_id))
    assert (segment.state, segment.generation, segment.holder) == ("open", generation + 1, None)
    assert (await do(stage, "pause", run_id)).json() == run
    assert len(await outcomes(stage, run_id, state="pending")) == 3
    refused = await realign(stage, run_id, {"threshold": 0.5})
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_ended")

    resumed = (await do(stage, "resume", run_id)).json()
    assert (resumed["state"], resumed["done"], resumed["allowed_verbs"]) == ("queued", 2, ["cancel", "pause"])
    assert (await do(stage, "resume", run_id)).json() == resumed
    told = await events(stage, run_id)
    assert [(one["type"], one["data"]["state"]) for one in told] == [
        ("model_run.queued", "queued"),
        ("model_run.paused", "paused"),
        ("model_run.resumed", "queued"),
    ]
    assert {(one["data"]["succeeded"], one["data"]["failed"]) for one in told[1:]} == {(1, 1)}
    notified = (await stage.get("/v1/notifications"))["items"]
    assert [one["type"] for one in notified] == ["model_run.paused"]
    paused = (await do(stage, "pause", run_id)).json()
    assert paused["state"] == "paused"
    cancelled = (await do(stage, "cancel", run_id, json={})).json()
    assert (cancelled["state"], cancelled["done"]) == ("cancelled", 2)


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


async def test_the_same_key_tries_again_once(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    key = {"Idempotency-Key": "again"}
    first, second = [await do(stage, "retry_failed", run_id, headers=key) for _ in range(2)]
    assert (first.status_code, first.headers["location"]) == (202, f"/v1/model-runs/{run_id}")
    assert first.json() == second.json()
    assert first.json()["execution"] == 2
    assert (await do(stage, "retry_failed", run_id)).json()["code"] == "illegal_transition"


async def test_a_retry_is_an_execution_over_the_failed_rows(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    before, seen = await outcomes(stage, run_id), await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    await decide(stage, seen[0], "accept")
    labels = await stage.pages(f"/v1/projects/{stage.project}/labels")
    run = (await do(stage, "retry_failed", run_id)).json()
    assert (run["state"], run["execution"], run["finished_at"]) == ("queued", 2, None)
    assert (run["total"], run["done"], run["succeeded"], run["failed"]) == (5, 3, 3, 0)
    assert sorted(await outcomes(stage, run_id, state="pending", page_size=1)) == [1, 3]
    assert await outcomes(stage, run_id, state="failed") == {}
    assert len(await outcomes(stage, run_id, page_size=2)) == 5

    await stage.worker.store(run_id, {stage.rows[1]: SAID[1]}, {stage.rows[3]: "too_large"})
    await stage.worker.end(run_id, "completed_with_errors")
    after = await outcomes(stage, run_id)
    assert {place: after[place] for place in (0, 2, 4)} == {place: before[place] for place in (0, 2, 4)}
    assert {(after[place]["state"], after[place]["execution"], after[place]["attempts"]) for place in (1, 3)} == {
        ("succeeded", 2, 2),
        ("failed", 2, 2),
    }
    ids = {one["id"] for one in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")}
    assert {one["id"] for one in seen} < ids
    assert await stage.pages(f"/v1/projects/{stage.project}/labels") == labels
    await ledger(stage, run_id)
    told = [(one["type"], one["data"]["execution"], one["data"]["failed"]) for one in await events(stage, run_id)]
    assert told == [
        ("model_run.queued", 1, 0),
        ("model_run.completed_with_errors", 1, 2),
        ("model_run.queued", 2, 0),
        ("model_run.completed_with_errors", 2, 1),
    ]
    await do(stage, "retry_failed", run_id)
    await do(stage, "cancel", run_id, json={})
    assert sorted(await outcomes(stage, run_id, state="not_run")) == [3]


async def test_a_retry_after_a_failed_run_has_the_rows_it_left(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    await stage.worker.store(run_id, {stage.rows[0]: SAID[0]}, {stage.rows[1]: "too_large"})
    await stage.worker.end(run_id, "failed")
    assert sorted(await outcomes(stage, run_id, state="not_run")) == [2, 3, 4]
    run = (await do(stage, "retry_failed", run_id)).json()
    assert (run["state"], run["state_reason"], run["done"]) == ("queued", None, 1)
    assert sorted(await outcomes(stage, run_id, state="pending")) == [1, 2, 3, 4]
    await stage.worker.store(run_id, {row: () for row in stage.rows[1:]})
    await stage.worker.end(run_id)
    found = await outcomes(stage, run_id)
    assert [found[place]["attempts"] for place in range(5)] == [1, 2, 1, 1, 1]
    done = await stage.finished({})
    await put(stage, done, state="failed", state_reason="it had just ended")
    nothing = await do(stage, "retry_failed", done)
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_retry")
    assert (await stage.get(f"/v1/model-runs/{done}"))["execution"] == 1


async def test_a_retry_sees_through_the_alignment_of_now(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    assert (await realign(stage, run_id, {"threshold": 0.55})).status_code == 200
    run = (await do(stage, "retry_failed", run_id)).json()
    assert run["alignment_version"] == 2
    refused = await realign(stage, run_id, {"threshold": 0.3}, version=2)
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_ended")
    await stage.worker.store(run_id, {stage.rows[1]: [("person", 0.5), ("cat", 0.7)], stage.rows[3]: []})
    await stage.worker.end(run_id)
    names = [("person", 0.9), ("cat", 0.6), ("cat", 0.7)]
    assert [one[1:3] for one in await shown(stage, run_id)] == names
    assert (await ledger(stage, run_id))["person"]["dropped"] == {"below_threshold": 2}
    assert (await realign(stage, run_id, {"threshold": 0.45}, version=2)).status_code == 200
    assert [one[1:3] for one in await shown(stage, run_id)] == [
        *names[:1],
        ("person", 0.5),
        names[1],
        ("person", 0.5),
        names[2],
    ]
    await ledger(stage, run_id)


async def test_what_changed_since_the_run_is_said(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    path = f"/v1/projects/{stage.project}/ontology"
    read = await stage.client.get(path)
    tree = {"tools": [one for one in read.json()["tools"] if one["name"] != "Cats"]}
    tree["classifications"] = read.json()["classifications"]
    assert (await stage.client.put(path, json=tree, headers={"If-Match": '"1"'})).status_code == 200
    outdated = await do(stage, "retry_failed", run_id)
    assert (outdated.status_code, outdated.json()["code"]) == (409, "alignment_outdated")
    (error,) = outdated.json()["alignment_errors"]
    assert (error["pointer"], error["code"]) == (
        "/alignment/entries/1/target/feature_schema_id",
        "removed_feature",
    )
    entries = [stage.entry("person", "Person")]
    assert (await realign(stage, run_id, {"alignment": {"entries": entries}})).status_code == 200
    assert (await do(stage, "retry_failed", run_id)).status_code == 202

    other = await with_failures(stage, alignment={"entries": entries})
    async with api.resources.sessions.begin() as session:
        gone = update(CatalogModelRow).where(CatalogModelRow.id == UUID(stage.detector))
        await session.execute(gone.values(deleted_at=select(ModelRunRow.created_at).limit(1).scalar_subquery()))
    deleted = await do(stage, "retry_failed", other)
    assert (deleted.status_code, deleted.json()["code"]) == (409, "model_deleted")
    assert (await outcomes(stage, other, state="failed")).keys() == {1, 3}, "a refusal changes nothing"


async def test_an_alignment_that_is_being_changed_comes_first(
    api: Api, api_servers: tuple[str, str], workspace: Workspace, tmp_path: Any
) -> None:
    settings = api_settings(*api_servers, tmp_path / "objects").model_copy(update={"realign_at_once": 1})
    async with running_api(settings) as small:
        stage = await make_stage(small, workspace)
        run_id = await with_failures(stage)
        operation = (await realign(stage, run_id, {"threshold": 0.7})).json()["id"]
        refused = await do(stage, "retry_failed", run_id)
        assert (refused.status_code, refused.json()["code"]) == (409, "realignment_under_way")
        assert refused.json()["operation_id"] == operation
        undone = await do(stage, "undo", run_id)
        assert undone.json()["hidden"] == 3
        async with operating(small.resources.sessions, small.resources.signals, OPERATIONS):
            await until_state(small.resources.sessions, UUID(operation), "succeeded")
        assert (await stage.get(f"/v1/model-runs/{run_id}/alignment"))["version"] == 2
        assert await shown(stage, run_id) == [], "no alignment shows again what was undone"
        assert (await do(stage, "undo", run_id)).json()["hidden"] == 1


async def test_undo_hides_what_nobody_decided(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)
    seen = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    await decide(stage, seen[0], "accept")
    await decide(stage, seen[1], "reject")
    labels = await stage.pages(f"/v1/projects/{stage.project}/labels")
    assert "undo" in (await stage.get(f"/v1/model-runs/{run_id}"))["allowed_verbs"]
    answer = await do(stage, "undo", run_id)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["hidden"], answer.json()["kept"]) == (2, 2)
    run = await stage.get(f"/v1/model-runs/{run_id}")
    assert (run["state"], run["undone_at"], run["allowed_verbs"]) == ("completed", answer.json()["undone_at"], [])

    left = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    assert {(one["id"], one["state"]) for one in left} == {(seen[0]["id"], "accepted"), (seen[1]["id"], "rejected")}
    assert await stage.pages(f"/v1/model-runs/{run_id}/pre-labels", state="pending") == []
    assert await stage.pages(f"/v1/projects/{stage.project}/labels") == labels
    assert len(await outcomes(stage, run_id, state="succeeded")) == 5
    by_class = await ledger(stage, run_id)
    assert sum(one["dropped"].get("undone", 0) for one in by_class.values()) == 2
    assert {one["pending"] for one in by_class.values()} == {0}
    late = await stage.client.post(
        f"/v1/data-rows/{seen[3]['data_row_id']}/decisions",
        json={"decisions": [{"pre_label_id": seen[3]["id"], "action": "accept"}]},
        headers={"If-Match": '"0"'},
    )
    assert (late.status_code, late.json()["errors"][0]["code"]) == (422, "pre_label_not_shown")

    assert (await do(stage, "undo", run_id)).json() == answer.json(), "a second time it changes nothing"
    told = [one for one in await events(stage, run_id) if one["type"] == "model_run.undone"]
    assert [one["data"]["hidden"] for one in told] == [2]
    assert (await stage.get("/v1/notifications"))["items"][0]["type"] == "model_run.undone"
    # Another alignment shows nothing of it again, and accounts for all.
    entries = [stage.entry("person", "Person", threshold=0.05), stage.entry("dog", "Cats", threshold=0.05)]
    assert (await realign(stage, run_id, {"alignment": {"entries": entries}})).status_code == 200
    assert {one["id"] for one in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")} == {
        seen[0]["id"],
        seen[1]["id"],
    }
    await ledger(stage, run_id)


async def test_undo_and_the_other_verbs(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await with_failures(stage)
    assert (await do(stage, "undo", run_id)).status_code == 200
    assert (await stage.get(f"/v1/model-runs/{run_id}"))["allowed_verbs"] == []
    refused = await do(stage, "retry_failed", run_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "run_undone")
    # What a discarding cancel hid is hidden already, under its own reason.
    discarded = await stage.submit()
    await stage.worker.store(discarded, {stage.rows[0]: SAID[0]})
    await do(stage, "cancel", discarded, json={"results": "discard"})
    answer = (await do(stage, "undo", discarded)).json()
    assert (answer["undone_at"], answer["hidden"], answer["kept"]) == (None, 3, 0)
    assert (await ledger(stage, discarded))["person"]["dropped"] == {"discarded": 2}
    kept = await stage.submit()
    await stage.worker.store(kept, {stage.rows[0]: SAID[0]})
    await do(stage, "cancel", kept, json={})
    assert len(await shown(stage, kept)) == 3
    assert (await do(stage, "undo", kept)).json()["hidden"] == 3
    assert await shown(stage, kept) == []


async def test_a_paused_run_is_not_forgotten(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    await do(stage, "pause", run_id)
    used = await stage.client.delete(f"/v1/models/{stage.detector}")
    assert (used.status_code, used.json()["model_run_ids"]) == (409, [str(run_id)])
    path = f"/v1/projects/{stage.project}"
    revision = (await stage.client.get(path)).headers["etag"]
    assert (await stage.client.delete(path, headers={"If-Match": revision})).status_code == 204
    async with api.resources.sessions() as session:
        run = await session.get_one(ModelRunRow, run_id)
        (segment,) = await session.scalars(select(SegmentRow).where(SegmentRow.model_run_id == run_id))
    assert (run.state, run.state_reason, segment.state) == ("cancelled", "project_deleted", "cancelled")
    assert (await do(stage, "resume", run_id)).status_code == 404


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
