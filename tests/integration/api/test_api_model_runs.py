import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select, update

from services.api.access.principal import Role
from shared.contracts.jobs import Doorbell
from shared.database.tables import CatalogModelRow, LabelRow, ModelRunRow, RowOutcomeRow, SegmentRow
from shared.run_configuration import RunConfiguration
from tests.integration.api.stage import DETECTOR, Stage, make_stage
from tests.support.api import Api, Workspace
from tests.support.cards import built, card
from tests.support.runs import add_model

pytestmark = pytest.mark.asyncio


async def _segments(stage: Stage, run_id: UUID) -> list[SegmentRow]:
    async with stage.api.resources.sessions() as session:
        found = select(SegmentRow).where(SegmentRow.model_run_id == run_id).order_by(SegmentRow.ordinal)
        return list(await session.scalars(found))


async def _events(stage: Stage) -> list[dict[str, Any]]:
    found = await stage.get(f"/v1/projects/{stage.project}/events", limit=1000)
    return [item["event"] for item in found["items"] if item["event"]["subject"]["kind"] == "model_run"]


def _pointers(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


async def test_submit_freezes_everything_and_cuts_the_rows(
    api: Api, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await make_stage(api, workspace, rows=70)
    rung: list[tuple[str, int]] = []

    async def ring(doorbell: Doorbell, times: int = 1) -> None:
        rung.append((doorbell.value, times))

    monkeypatch.setattr(api.resources.signals.queue, "ring", ring)
    async with api.resources.sessions.begin() as session:
        slow = update(CatalogModelRow).where(CatalogModelRow.id == UUID(stage.detector)).values(rows_per_second=1.0)
        await session.execute(slow)
    body = stage.body(
        stage.entry("person", "Person", threshold=0.6, answers=[
            {
                "feature_schema_id": stage.features["Person/pose"],
                "annotation": {"kind": "radio", "option_id": stage.features["Person/pose/sits"]},
            }
        ]),
        stage.entry("cat", "Cats", when={"confidence": {"minimum": 0.7}}, min_area=4, max_count=2),
        name="first pass",
        threshold=0.5,
    )  # fmt: skip
    answer = await stage.post(body)
    assert answer.status_code == 202, answer.text
    run = answer.json()
    assert answer.headers["location"] == f"/v1/model-runs/{run['id']}"
    assert (run["state"], run["total"], run["done"], run["execution"]) == ("queued", 70, 0, 1)
    assert run == await stage.get(answer.headers["location"])
    assert run["model"]["digest"] == built(DETECTOR).digest
    assert run["configuration"]["ontology_version"] == 1
    named = [(e["model_class"], e["feature_name"], e["threshold"], e["target_type"]) for e in run["alignment"]]
    assert named == [("person", "Person", 0.6, "bounding_box"), ("cat", "Cats", 0.5, "polygon")]
    assert run["alignment"][1]["when"]["confidence"] == {"minimum": 0.7, "maximum": None}

    segments = await _segments(stage, UUID(run["id"]))
    assert [len(s.data_row_ids) for s in segments] == [32, 32, 6]
    assert [row for s in segments for row in s.data_row_ids] == sorted(stage.rows)
    assert {(s.state, s.purpose, s.priority, s.generation) for s in segments} == {("open", "run", 3, 0)}
    async with api.resources.sessions() as session:
        stored = await session.get_one(ModelRunRow, UUID(run["id"]))
    frozen = RunConfiguration.model_validate(stored.configuration)
    assert (frozen.card, frozen.triton_model) == (DETECTOR, f"own-detector-{built(DETECTOR).digest[:12]}")
    assert [(e["type"], e["data"]["total"]) for e in await _events(stage)] == [("model_run.queued", 70)]
    assert rung == [("prelabel:runs", 3)]


async def test_every_problem_is_listed_by_pointer(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage, theirs = await make_stage(api, workspace), await make_stage(api, elsewhere)
    features = stage.features
    entries: list[tuple[dict[str, Any], dict[str, str]]] = [
        (stage.entry("zebra", "Person"), {"/model_class": "unknown_model_class"}),
        (theirs.entry("person", "Person"), {"/target/feature_schema_id": "unknown_feature"}),
        (stage.entry("person", "Sky"), {"/target/feature_schema_id": "not_convertible"}),
        (stage.entry("person", "scene", "Indoors"), {"/target/feature_schema_id": "not_convertible"}),
        (
            {"model_class": "dog", "target": {"feature_schema_id": features["scene/Indoors"]}},
            {"/target/feature_schema_id": "not_a_feature"},
        ),
        (
            {"model_class": "dog", "target": {"feature_schema_id": features["Person/pose"]}},
            {"/target/feature_schema_id": "nested_feature"},
        ),
        (
            {"model_class": "cat", "target": {
                "feature_schema_id": features["Person"], "option_id": features["scene/Indoors"]}},
            {"/target/option_id": "option_not_allowed"},
        ),
        (stage.entry("cat", "Cats", threshold=0.01), {"/threshold": "threshold_under_floor"}),
        (stage.entry("person", "Cats", threshold=1.01), {"/threshold": "threshold_out_of_range"}),
        (stage.entry("cat", "Cats"), {"": "duplicate_entry"}),
        (
            stage.entry("dog", "Cats", when={"area": {"minimum": 5, "maximum": 5}}, answers=[
                {"feature_schema_id": features["Person/pose"], "annotation": {"kind": "free_text", "text": "x"}}
            ]),
            {"/when/area": "empty_range", "/answers/0/feature_schema_id": "foreign_answer"},
        ),
        (
            stage.entry("dog", "Person", answers=[
                {"feature_schema_id": features["Person/pose"], "annotation": {"kind": "free_text", "text": "x"}},
                {"feature_schema_id": features["Person/pose"],
                 "annotation": {"kind": "radio", "option_id": features["scene/Indoors"]}},
            ]),
            {
                "/answers/0/annotation": "wrong_kind",
                "/answers/1/annotation": "foreign_option",
                "/answers/1": "duplicate_answer",
            },
        ),
        (
            stage.entry("person", "Person", when={"attribute": {"text": "x", "a/b": 1}}, conversion={
                "from": "polygon", "to": "point", "loss": "all"
            }, answers=[
                {"feature_schema_id": features["Person/pose/stands/number"], "attribute": "text"},
                {"feature_schema_id": features["Person/pose"], "attribute": "pose"},
                {"feature_schema_id": features["remarks"], "attribute": "text"},
            ]),
            {
                "/when/attribute/a~1b": "unknown_attribute",
                "/conversion/from": "wrong_conversion",
                "/conversion/to": "wrong_conversion",
                "/answers/0/feature_schema_id": "option_not_chosen",
                "/answers/1/attribute": "unknown_attribute",
                "/answers/2/feature_schema_id": "foreign_answer",
            },
        ),
    ]  # fmt: skip
    body = stage.body(*(entry for entry, _ in entries), threshold=-0.1, batch_ids=[str(uuid4())], criteria={"a": "b"})
    answer = await stage.post(body)
    expected = {
        f"/alignment/entries/{index}{pointer}": code
        for index, (_, problems) in enumerate(entries)
        for pointer, code in problems.items()
    }
    assert _pointers(answer) == {
        **expected,
        "/threshold": "threshold_out_of_range",
        "/batch_ids/0": "unknown_batch",
        "/criteria": "criteria_not_supported",
    }
    assert answer.json()["code"] == "invalid_model_run"
    assert await stage.pages(f"/v1/projects/{stage.project}/model-runs") == []


async def test_options_of_radios_and_checklists(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    foreign = stage.entry("cat", "seen", "cat")
    foreign["target"]["option_id"] = stage.features["scene/Indoors"]
    unknown = stage.entry("cat", "scene", "Indoors")
    unknown["target"]["option_id"] = str(uuid4())
    answer = await stage.post(stage.body(stage.entry("indoors", "scene"), foreign, unknown, model_id=stage.classifier))
    assert _pointers(answer) == {
        "/alignment/entries/0/target/option_id": "option_missing",
        "/alignment/entries/1/target/option_id": "foreign_option",
        "/alignment/entries/2/target/option_id": "unknown_option",
    }
    low = {"confidence": {"maximum": 0.6}}
    high = {"confidence": {"minimum": 0.6}}
    exclusive = (stage.entry("cat", "scene", "Indoors", when=low), stage.entry("cat", "scene", "Outdoors", when=high))
    assert (await stage.post(stage.body(*exclusive, model_id=stage.classifier))).status_code == 202


async def test_a_condition_on_area_needs_an_area(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    entry = stage.entry("cat", "scene", "Indoors", min_area=3, when={"area": {"minimum": 1}})
    answer = await stage.post(stage.body(entry, model_id=stage.classifier))
    assert _pointers(answer) == {
        "/alignment/entries/0/min_area": "no_area",
        "/alignment/entries/0/when/area": "no_area",
    }


@pytest.mark.parametrize(
    ("answer", "pointer"),
    [
        ({"feature_schema_id": "x", "attribute": "text"}, "/feature_schema_id"),
        ({"attribute": "text", "annotation": {"kind": "free_text", "text": "x"}}, "/feature_schema_id"),
        ({"attribute": ""}, "/attribute"),
        ({"annotation": {"kind": "radio"}}, "/annotation/option_id"),
        ({}, "/annotation"),
        ("x", ""),
    ],
)
async def test_malformed_answers_are_pointed_at(api: Api, workspace: Workspace, answer: Any, pointer: str) -> None:
    stage = await make_stage(api, workspace, rows=1)
    found = _pointers(await stage.post(stage.body(stage.entry("person", "Person", answers=[answer]))))
    assert f"/alignment/entries/0/answers/0{pointer}" in found, found


async def test_the_alignment_of_a_run_can_be_sent_again(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    pose, number = stage.features["Person/pose"], stage.features["Person/pose/stands/number"]
    sits, stands = stage.features["Person/pose/sits"], stage.features["Person/pose/stands"]
    when: list[dict[str, Any]] = [{"attribute": {"stance": "upright"}}, {"attribute": {"stance": "other"}}]
    first = stage.entry("person", "Person", when=when[0], answers=[
        {"feature_schema_id": number, "attribute": "text"},
        {"feature_schema_id": pose, "annotation": {"kind": "radio", "option_id": stands}},
    ])  # fmt: skip
    second = stage.entry("person", "Person", when=when[1], answers=[{"feature_schema_id": pose, "attribute": "stance"}])
    entries = [first, second, stage.entry("cat", "Cats", conversion={"from": "bounding_box", "to": "polygon"})]
    answer = await stage.post(stage.body(*entries))
    assert answer.status_code == 202, answer.text
    resolved = answer.json()["alignment"]
    same = {"from": "bounding_box", "to": "bounding_box", "loss": "none"}
    assert [one["conversion"] for one in resolved] == [same, same, {**same, "to": "polygon"}]
    assert resolved[0]["answers"][0] == {
        "feature_schema_id": number, "attribute": "text", "type": "free_text", "options": {}
    }  # fmt: skip
    assert resolved[1]["answers"][0]["options"] == {"sits": sits, "stands": stands}
    again = await stage.post(stage.body(*resolved))
    assert again.status_code == 202, again.text
    assert again.json()["alignment"] == resolved == (await stage.get(answer.headers["location"]))["alignment"]


async def test_removed_features_and_nothing_to_do(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=0)
    answer = await stage.post({"model_id": stage.detector, "alignment": {"entries": []}})
    assert _pointers(answer) == {"": "no_rows", "/alignment/entries": "empty_alignment"}
    unknown = await stage.post(stage.body(model_id=str(uuid4()), batch_ids=[str(uuid4())]))
    assert _pointers(unknown) == {"/model_id": "unknown_model", "/batch_ids/0": "unknown_batch"}
    tree = await stage.client.get(f"/v1/projects/{stage.project}/ontology")
    kept = {"tools": [t for t in tree.json()["tools"] if t["name"] != "Cats"], "classifications": []}
    path = f"/v1/projects/{stage.project}/ontology"
    assert (await stage.client.put(path, json=kept, headers={"If-Match": '"1"'})).status_code == 200
    removed = _pointers(await stage.post(stage.body()))
    assert removed["/alignment/entries/1/target/feature_schema_id"] == "removed_feature"


async def test_blocked_model_is_409_with_the_blockers(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    points = card("points", "keypoints", ("sky",))  # which no polygon is made of
    away = await add_model(api.resources.sessions, points, "loading", workspace_id=workspace.id)
    path = f"/v1/projects/{stage.project}/ontology"
    tools = [tool for tool in (await stage.get(path))["tools"] if tool["name"] == "Cats"]
    await stage.client.put(path, json={"tools": tools, "classifications": []}, headers={"If-Match": '"1"'})
    answer = await stage.post(stage.body(model_id=str(away)))
    assert (answer.status_code, answer.json()["code"]) == (409, "model_blocked")
    assert [one["code"] for one in answer.json()["blockers"]] == ["no_feature", "not_ready"]


async def test_batches_limit_and_only_unlabeled_choose_the_rows(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    batches = f"/v1/projects/{stage.project}/batches"
    made = [
        (await stage.client.post(batches, json={"name": name, "data_row_ids": [str(stage.rows[n]) for n in rows]}))
        for name, rows in (("a", (3, 1)), ("b", (1, 4)))
    ]
    ids = [answer.json()["id"] for answer in made]
    async with api.resources.sessions.begin() as session:
        for deleted in (False, True):
            session.add(_label(stage, stage.rows[1 if deleted else 3], deleted))

    async def chosen(**more: Any) -> list[int]:
        run_id = await stage.submit(**more)
        rows = [row for segment in await _segments(stage, run_id) for row in segment.data_row_ids]
        assert (await stage.get(f"/v1/model-runs/{run_id}"))["total"] == len(rows)
        return [stage.rows.index(row) for row in rows]

    assert await chosen() == [0, 1, 2, 3, 4]
    assert await chosen(batch_ids=ids) == [1, 3, 4]
    assert await chosen(batch_ids=ids, only_unlabeled=True) == [1, 4]
    assert await chosen(only_unlabeled=True, limit=2) == [0, 1]
    assert await chosen(limit=1000) == [0, 1, 2, 3, 4]


def _label(stage: Stage, data_row_id: UUID, deleted: bool) -> LabelRow:
    project = UUID(stage.project)
    return LabelRow(
        workspace_id=stage.workspace.id,
        project_id=project,
        data_row_id=data_row_id,
        feature_schema_id=UUID(stage.features["Sky"]),
        annotation={},
        provenance={},
        created_by=stage.workspace.members[Role.LABELER],
        deleted_at=datetime.now(UTC) if deleted else None,
    )


async def test_roles_and_foreign_runs(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace)
    for role in (Role.VIEWER, Role.LABELER):
        assert (await stage.post(stage.body(), role)).status_code == 403
    run = f"/v1/model-runs/{await stage.submit()}"
    theirs = api.as_(elsewhere)
    for path in (run, f"{run}/outcomes", f"{run}/outcomes/{stage.rows[0]}", f"{run}/pre-labels", f"{run}/ledger"):
        assert (await theirs.get(path)).status_code == 404, path
        assert (await api.as_(workspace, Role.VIEWER).get(path)).status_code == 200, path
    assert (await theirs.post(f"{run}/cancel", json={})).status_code == 404
    assert (await api.as_(workspace, Role.LABELER).post(f"{run}/cancel", json={})).status_code == 403
    assert (await theirs.get(f"/v1/projects/{stage.project}/model-runs")).status_code == 404
    submitted = await theirs.post(f"/v1/projects/{stage.project}/model-runs", json=stage.body())
    assert submitted.status_code == 404
    other = await make_stage(api, elsewhere)
    foreign_model = await other.post(other.body(model_id=stage.detector))
    assert _pointers(foreign_model) == {"/model_id": "unknown_model"}


async def test_same_idempotency_key_makes_one_run(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    path, headers = f"/v1/projects/{stage.project}/model-runs", {"Idempotency-Key": "once"}
    answers = [await stage.client.post(path, json=stage.body(), headers=headers) for _ in range(2)]
    assert [a.status_code for a in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["location"] == answers[1].headers["location"]
    assert len(await stage.pages(path)) == 1


async def test_list_is_newest_first_with_live_counters(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    path = f"/v1/projects/{stage.project}/model-runs"
    first, second = await stage.submit(), await stage.submit(name="second")
    done = await stage.finished({})
    await stage.worker.store(second, {stage.rows[0]: [("person", 0.9)]}, {stage.rows[1]: "undecodable"})
    runs = await stage.pages(path, page_size=2)
    assert [(r["id"], r["state"]) for r in runs] == [
        (str(done), "completed"), (str(second), "queued"), (str(first), "queued")]  # fmt: skip
    assert [(r["done"], r["succeeded"], r["failed"], r["detections"]) for r in runs[:2]] == [(5, 5, 0, 0), (2, 1, 1, 1)]
    assert [r["id"] for r in await stage.pages(path, state="completed")] == [str(done)]
    assert (await stage.get(f"/v1/model-runs/{second}"))["done"] == 2


async def test_cancel_is_final_and_exact(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    generation = await stage.worker.take(run_id)
    await stage.worker.store(run_id, {stage.rows[0]: [("person", 0.9)]}, {stage.rows[3]: "undecodable"})
    answer = await stage.client.post(f"/v1/model-runs/{run_id}/cancel")
    assert answer.status_code == 200, answer.text
    run = answer.json()
    assert (run["state"], run["done"], run["succeeded"], run["failed"], run["detections"]) == ("cancelled", 2, 1, 1, 1)
    assert run == await stage.get(f"/v1/model-runs/{run_id}")
    assert run["finished_at"]
    assert [(s.state, s.generation) for s in await _segments(stage, run_id)] == [("cancelled", generation + 1)]
    last = (await _events(stage))[-1]
    assert last["type"] == "model_run.cancelled"
    assert {k: last["data"][k] for k in ("total", "succeeded", "failed", "detections")} == {
        "total": 5, "succeeded": 1, "failed": 1, "detections": 1}  # fmt: skip
    again = await stage.client.post(f"/v1/model-runs/{run_id}/cancel", json={"results": "discard"})
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
    assert (again.json()["state"], again.json()["allowed"]) == ("cancelled", [])
    failed = await stage.finished({})
    await stage.worker.end(failed, "failed")
    refused = await stage.client.post(f"/v1/model-runs/{failed}/cancel", json={})
    assert refused.json()["allowed"] == ["queued"]


async def test_cancel_twice_at_once_cancels_once(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    path = f"/v1/model-runs/{run_id}/cancel"
    answers = await asyncio.gather(*(stage.client.post(path, json={}) for _ in range(4)))
    assert sorted(a.status_code for a in answers) == [200, 409, 409, 409]
    assert [e["type"] for e in await _events(stage)].count("model_run.cancelled") == 1


async def test_cancel_waits_for_the_batch_being_stored_and_counts_it(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    generation = await stage.worker.take(run_id)
    (segment,) = await _segments(stage, run_id)
    async with api.resources.sessions.begin() as storing:
        await storing.execute(select(SegmentRow.id).where(SegmentRow.id == segment.id).with_for_update())
        cancelling = asyncio.create_task(stage.client.post(f"/v1/model-runs/{run_id}/cancel", json={}))
        await asyncio.sleep(0.3)
        assert not cancelling.done()
        storing.add(
            RowOutcomeRow(
                model_run_id=run_id,
                data_row_id=stage.rows[0],
                workspace_id=workspace.id,
                execution=1,
                state="succeeded",
                detections=3,
            )
        )
        done = {"succeeded": 1, "detections": 3}
        await storing.execute(update(SegmentRow).where(SegmentRow.id == segment.id).values(done))
    run = (await cancelling).json()
    assert (run["state"], run["succeeded"], run["detections"]) == ("cancelled", 1, 3)
    assert (await _events(stage))[-1]["data"]["detections"] == 3
    # What the worker asks at the beginning of its next transaction.
    async with api.resources.sessions() as late:
        held = select(SegmentRow.id).where(SegmentRow.id == segment.id, SegmentRow.generation == generation)
        assert await late.scalar(held) is None


async def test_outcomes_of_every_row_before_and_after_the_end(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=70)
    async with api.resources.sessions.begin() as session:
        slow = update(CatalogModelRow).where(CatalogModelRow.id == UUID(stage.detector)).values(rows_per_second=0.1)
        await session.execute(slow)
    run_id = await stage.submit()
    path = f"/v1/model-runs/{run_id}/outcomes"
    said = {row: [("cat", 0.9)] for row in stage.rows[10:50]}
    failed = {stage.rows[2]: "undecodable", stage.rows[60]: "too_large"}
    await stage.worker.store(run_id, said, failed)

    async def places(**query: Any) -> list[int]:
        return [stage.rows.index(UUID(o["data_row_id"])) for o in await stage.pages(path, page_size=7, **query)]

    without = [n for n in range(70) if n not in {2, 60, *range(10, 50)}]
    assert await places() == list(range(70))
    assert await places(state="succeeded") == list(range(10, 50))
    assert await places(state="failed") == [2, 60]
    assert await places(state="failed", code="too_large") == [60]
    assert await places(code="undecodable") == [2]
    assert await places(state="pending") == without
    assert await places(state="not_run") == []
    one = await stage.get(f"{path}/{stage.rows[2]}")
    assert (one["state"], one["stage"], one["code"], one["attempts"]) == ("failed", "decode", "undecodable", 1)
    assert (one["global_key"], one["detail"]) == ("002.jpg", "the file ends in the middle")
    assert (await stage.get(f"{path}/{stage.rows[0]}"))["state"] == "pending"

    await stage.client.post(f"/v1/model-runs/{run_id}/cancel", json={})
    assert await places(state="not_run") == without
    assert await places(state="pending") == []
    assert (await stage.get(f"{path}/{stage.rows[0]}"))["state"] == "not_run"
    assert (await stage.client.get(f"{path}/{uuid4()}")).status_code == 404
    limited = await stage.submit(limit=3)
    assert (await stage.client.get(f"/v1/model-runs/{limited}/outcomes/{stage.rows[3]}")).status_code == 404
    # A token belongs to the filter it was made for.
    token = (await stage.get(path, page_size=2))["next_page_token"]
    refused = await stage.client.get(path, params={"page_token": token, "state": "failed"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_page_token")
