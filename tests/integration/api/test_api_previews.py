import asyncio
import hashlib
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select, update

from services.api.access.principal import Role
from shared.contracts.jobs import Doorbell
from shared.database.tables import (
    Base,
    CatalogModelRow,
    ModelRunRow,
    SegmentRow,
)
from tests.integration.api.stage import Stage, make_stage
from tests.integration.api.test_api_nasty_input import spoiled
from tests.support.api import Api, Workspace, api_settings, running_api

pytestmark = pytest.mark.asyncio


async def _post(stage: Stage, body: dict[str, Any], role: Role = Role.EDITOR) -> httpx2.Response:
    return await stage.api.as_(stage.workspace, role).post(f"/v1/projects/{stage.project}/previews", json=body)


async def _make(stage: Stage, *entries: dict[str, Any], **more: Any) -> UUID:
    answer = await _post(stage, stage.body(*entries, **more))
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["id"])


async def _sample(stage: Stage, preview_id: UUID) -> list[UUID]:
    found = await stage.pages(f"/v1/previews/{preview_id}/outcomes")
    return [UUID(outcome["data_row_id"]) for outcome in found]


def _pointers(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


async def test_a_preview_is_made_on_a_sample_and_followed(
    api: Api, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await make_stage(api, workspace, rows=30)
    rung: list[tuple[str, int]] = []

    async def ring(doorbell: Doorbell, times: int = 1) -> None:
        rung.append((doorbell.value, times))

    monkeypatch.setattr(api.resources.signals.queue, "ring", ring)
    answer = await _post(stage, stage.body(sample={"size": 20, "seed": 3}, threshold=0.5))
    assert answer.status_code == 202, answer.text
    preview = answer.json()
    path = f"/v1/previews/{preview['id']}"
    assert (answer.headers["location"], answer.headers["etag"]) == (path, '"1"')
    assert (preview["state"], preview["total"], preview["done"], preview["alignment_version"]) == ("queued", 20, 0, 1)
    assert preview["sample"] == {"method": "random", "size": 20, "seed": 3, "field": None, "preview_id": None}
    assert [(e["model_class"], e["threshold"]) for e in preview["alignment"]] == [("person", 0.5), ("cat", 0.5)]
    assert rung == [(Doorbell.PREVIEWS.value, 3)]
    async with api.resources.sessions() as session:
        segments = list(await session.scalars(select(SegmentRow).order_by(SegmentRow.ordinal)
                                              .where(SegmentRow.model_run_id == UUID(preview["id"]))))  # fmt: skip
    assert [(len(one.data_row_ids), one.purpose) for one in segments] == [
        (8, "preview"),
        (8, "preview"),
        (4, "preview"),
    ]

    rows = await _sample(stage, UUID(preview["id"]))
    assert rows == sorted(rows)
    await stage.worker.store(UUID(preview["id"]), {rows[0]: [("person", 0.9), ("cat", 0.4)], rows[1]: []})
    seen = await stage.get(path)
    assert (seen["done"], seen["succeeded"], seen["detections"]) == (2, 2, 2)
    await stage.worker.end(UUID(preview["id"]))
    got = await stage.client.get(path)
    assert (got.json()["state"], got.headers["etag"]) == ("completed", '"1"')
    (listed,) = await stage.pages(f"/v1/projects/{stage.project}/previews")
    assert listed == {name: got.json()[name] for name in listed}


async def test_thresholds_of_one_answer_only(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=3)
    preview_id = await _make(stage, threshold=0.5)
    await stage.worker.store(
        preview_id,
        {
            stage.rows[0]: [("person", 0.9), ("person", 0.3), ("dog", 0.9)],
            stage.rows[1]: [("cat", 0.2)],
            stage.rows[2]: [],
        },
    )
    await stage.worker.end(preview_id)
    path = f"/v1/previews/{preview_id}/pre-labels"

    def told(found: list[Any]) -> list[tuple[str, str, str, float]]:
        return [(one["global_key"], one["tool"], one["model_class"], one["confidence"]) for one in found]

    kept = told(await stage.pages(path))
    assert kept == [("000.jpg", "bounding_box", "person", 0.9)]
    low = told(await stage.pages(path, threshold=0.1, page_size=1))
    assert low == [
        ("000.jpg", "bounding_box", "person", 0.9),
        ("000.jpg", "bounding_box", "person", 0.3),
        ("001.jpg", "polygon", "cat", 0.2),
    ]
    assert told(await stage.pages(path, threshold=0.1, model_class="cat")) == low[2:]
    assert told(await stage.pages(path, threshold=0.95)) == []
    assert told(await stage.pages(path)) == kept
    ledger = await stage.get(f"/v1/previews/{preview_id}/ledger")
    for one in ledger["classes"]:
        assert one["raw"] == one["shown"] + sum(one["dropped"].values())
    answer = await stage.client.get(path, params={"threshold": 0.01})
    assert _pointers(answer) == {"": "threshold_under_floor"}
    for wrong in ("1.1", "-0.1", "nan", "x"):
        assert (await stage.client.get(path, params={"threshold": wrong})).status_code == 422


async def test_nothing_of_a_preview_lands_anywhere_else(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    preview_id = await _make(stage)
    await stage.worker.store(preview_id, {row: [("person", 0.9)] for row in stage.rows})
    await stage.worker.end(preview_id)
    (first, *_) = await stage.pages(f"/v1/previews/{preview_id}/pre-labels")

    assert await stage.pages(f"/v1/projects/{stage.project}/model-runs") == []
    for part in ("", "/outcomes", "/pre-labels", "/ledger", f"/outcomes/{stage.rows[0]}"):
        assert (await stage.client.get(f"/v1/model-runs/{preview_id}{part}")).status_code == 404
    assert (await stage.client.post(f"/v1/model-runs/{preview_id}/cancel")).status_code == 404
    decision = {"decisions": [{"pre_label_id": first["id"], "action": "accept"}]}
    refused = await stage.client.post(
        f"/v1/data-rows/{stage.rows[0]}/decisions", json=decision, headers={"If-Match": '"0"'}
    )
    assert _pointers(refused) == {"/decisions/0/pre_label_id": "pre_label_not_shown"}
    assert await stage.pages(f"/v1/projects/{stage.project}/labels") == []
    assert (await stage.get("/v1/notifications"))["items"] == []
    events = await stage.get(f"/v1/projects/{stage.project}/events", limit=1000)
    told = [one["event"] for one in events["items"] if one["event"]["subject"]["id"] == str(preview_id)]
    assert [(one["type"], one["subject"]["kind"]) for one in told] == [
        ("preview.queued", "preview"),
        ("preview.completed", "preview"),
    ]
    run_id = await stage.finished({0: [("person", 0.9)]})
    for part in ("", "/outcomes", "/pre-labels", "/ledger"):
        assert (await stage.client.get(f"/v1/previews/{run_id}{part}")).status_code == 404
    assert (await stage.client.delete(f"/v1/previews/{run_id}")).status_code == 404
    assert [one["id"] for one in await stage.pages(f"/v1/projects/{stage.project}/previews")] == [str(preview_id)]


async def test_same_seed_same_rows_whatever_the_order_of_import(api: Api, workspace: Workspace) -> None:
    keys = [f"{n:03}.jpg" for n in range(40)]
    samples = []
    for order in (keys, keys[::-1]):
        stage = await make_stage(api, workspace, rows=0)
        items = [{"global_key": key, "uri": f"https://images.example.org/{key}"} for key in order]
        await stage.client.post(f"/v1/projects/{stage.project}/data-rows", json={"items": items})
        found = []
        for seed in (1, 2, 1):
            preview_id = await _make(stage, sample={"size": 12, "seed": seed})
            found.append([o["global_key"] for o in await stage.pages(f"/v1/previews/{preview_id}/outcomes")])
        samples.append([sorted(one) for one in found])
    assert samples[0] == samples[1]
    one, other, again = samples[0]
    assert one == again != other
    # As the documentation of the sample says.
    assert one == sorted(sorted(keys, key=lambda key: hashlib.sha256(f"1:{key}".encode()).digest())[:12])


async def test_stratified_first_chosen_and_the_same_again(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=0)
    cities = ["rome"] * 30 + ["oslo"] * 9 + ["bern"] + [""] * 10
    items = [
        {"global_key": f"{n:03}", "uri": "https://images.example.org/x.jpg", "metadata": {"city": city} if city else {}}
        for n, city in enumerate(cities)
    ]
    done = await stage.client.post(f"/v1/projects/{stage.project}/data-rows", json={"items": items})
    ids = {one["id"]: cities[place] for place, one in enumerate(done.json()["results"])}

    stratified = await _make(stage, sample={"size": 10, "method": "stratified", "field": "city", "seed": 5})
    rows = await _sample(stage, stratified)
    by_city: dict[str, int] = {}
    for row in rows:
        by_city[ids[str(row)]] = by_city.get(ids[str(row)], 0) + 1
    assert by_city == {"rome": 5, "oslo": 2, "bern": 1, "": 2}
    again = await _make(stage, sample={"size": 10, "method": "stratified", "field": "city", "seed": 5})
    assert await _sample(stage, again) == rows

    first = await _make(stage, sample={"size": 3, "method": "first"})
    assert await _sample(stage, first) == [UUID(one) for one in list(ids)[:3]]
    chosen = [list(ids)[30], list(ids)[2], list(ids)[2]]
    preview_id = await _make(stage, sample={"data_row_ids": chosen})
    assert await _sample(stage, preview_id) == sorted({UUID(one) for one in chosen})
    same = await _make(stage, sample={"preview_id": str(stratified)})
    assert await _sample(stage, same) == rows
    told = (await stage.get(f"/v1/previews/{same}"))["sample"]
    assert (told["method"], told["field"], told["preview_id"]) == ("stratified", "city", str(stratified))
    everything = await _make(stage, sample={"size": 1000})
    assert (await stage.get(f"/v1/previews/{everything}"))["total"] == 50


async def test_without_alignment_the_suggested_one(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    answer = await _post(stage, {"model_id": stage.detector, "threshold": 0.6})
    assert answer.status_code == 202, answer.text
    suggested = await stage.get(f"/v1/projects/{stage.project}/models/{stage.detector}/alignment")
    assert suggested["entries"]
    for shown, entry in zip(answer.json()["alignment"], suggested["entries"], strict=True):
        assert (shown["model_class"], shown["target"]) == (entry["model_class"], entry["target"])
        assert shown["threshold"] == 0.6
    assert answer.json()["sample"]["size"] == 50
    tree = {"tools": [{"type": "bounding_box", "name": "quasar"}]}
    bare = await stage.client.post("/v1/projects", json={"name": "b", "media_type": "image", "ontology": tree})
    refused = await stage.client.post(f"{bare.headers['location']}/previews", json={"model_id": stage.detector})
    assert _pointers(refused) == {"/alignment": "nothing_suggested", "/sample": "no_rows"}


async def test_all_problems_are_listed_at_once(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage, other = await make_stage(api, workspace), await make_stage(api, elsewhere)
    unknown = str(uuid4())
    sample: dict[str, Any] = {"data_row_ids": [str(stage.rows[0]), unknown, str(other.rows[0])]}
    body = stage.body(stage.entry("unicorn", "Person"), threshold=0.01, sample=sample)
    assert _pointers(await _post(stage, body)) == {
        "/sample/data_row_ids/1": "unknown_data_row",
        "/sample/data_row_ids/2": "unknown_data_row",
        "/threshold": "threshold_under_floor",
        "/alignment/entries/0/model_class": "unknown_model_class",
    }
    assert _pointers(await _post(stage, {"model_id": unknown, "sample": {"method": "stratified"}})) == {
        "/model_id": "unknown_model",
        "/sample/field": "missing",
    }
    preview_of_others = str(await _make(other))
    wrong: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"field": "city"}, {"/sample/field": "not_with_method"}),
        ({"method": "stratified", "field": "city"}, {"/sample/field": "unknown_field"}),
        ({"preview_id": unknown}, {"/sample/preview_id": "unknown_preview"}),
        ({"preview_id": preview_of_others}, {"/sample/preview_id": "unknown_preview"}),
        (
            {"preview_id": unknown, "size": 3, "seed": 1},
            {"/sample/size": "not_with_preview_id", "/sample/seed": "not_with_preview_id"},
        ),
        (
            {"data_row_ids": [unknown], "preview_id": unknown, "method": "first"},
            {"/sample/preview_id": "not_with_data_row_ids", "/sample/method": "not_with_data_row_ids"},
        ),
        ({"size": 0}, {"/sample/size": "greater_than_equal"}),
        ({"size": 1001}, {"/sample/size": "less_than_equal"}),
        ({"seed": -1}, {"/sample/seed": "greater_than_equal"}),
        ({"data_row_ids": []}, {"/sample/data_row_ids": "too_short"}),
    ]
    for sample, expected in wrong:
        assert _pointers(await _post(stage, stage.body(sample=sample))) == expected, sample
    items = [{"global_key": f"k{n}", "uri": "https://images.example.org/x.jpg", "metadata": {"n": n}} for n in range(3)]
    await stage.client.post(f"/v1/projects/{stage.project}/data-rows", json={"items": items})
    many = stage.body(sample={"method": "stratified", "field": "n", "size": 3})
    assert _pointers(await _post(stage, many)) == {"/sample/size": "too_many_strata"}


async def test_a_blocked_model_is_refused_with_its_blockers(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    async with api.resources.sessions.begin() as session:
        away = update(CatalogModelRow).where(CatalogModelRow.id == UUID(stage.detector)).values(state="unavailable")
        await session.execute(away)
    answer = await _post(stage, stage.body())
    assert (answer.status_code, answer.json()["code"]) == (409, "model_blocked")
    assert [one["code"] for one in answer.json()["blockers"]] == ["not_ready"]


async def test_viewers_look_and_editors_change(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace)
    preview_id = await _make(stage)
    path = f"/v1/previews/{preview_id}"
    for role in (Role.VIEWER, Role.LABELER):
        client = api.as_(workspace, role)
        assert (await _post(stage, stage.body(), role)).status_code == 403
        for part in ("", "/outcomes", "/pre-labels", "/ledger"):
            assert (await client.get(path + part)).status_code == 200
        assert (await client.post(f"{path}/cancel")).status_code == 403
        assert (await client.delete(path)).status_code == 403
    others = api.as_(elsewhere)
    for part in ("", "/outcomes", "/pre-labels", "/ledger"):
        assert (await others.get(path + part)).status_code == 404
    assert (await others.post(f"{path}/cancel")).status_code == 404
    assert (await others.delete(path)).status_code == 404
    assert (await others.get(f"/v1/projects/{stage.project}/previews")).status_code == 404


async def test_cancel_ends_an_open_one(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    preview_id = await _make(stage)
    await stage.worker.store(preview_id, {stage.rows[0]: [("person", 0.9)]})
    answer = await stage.client.post(f"/v1/previews/{preview_id}/cancel")
    assert (answer.json()["state"], answer.json()["succeeded"]) == ("cancelled", 1)
    assert len(await stage.pages(f"/v1/previews/{preview_id}/pre-labels")) == 1
    again = await stage.client.post(f"/v1/previews/{preview_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")


async def _left_of(stage: Stage, preview_id: UUID) -> int:
    """Rows of any table that name it, besides the log."""
    async with stage.api.resources.sessions() as session:
        tables = [table for table in Base.metadata.sorted_tables if "model_run_id" in table.columns]
        counts = [
            await session.scalar(select(func.count()).select_from(table).where(table.c.model_run_id == preview_id))
            for table in tables
        ]
        return sum(count or 0 for count in counts)


async def test_delete_leaves_nothing_whatever_the_state(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    ended, taken = await _make(stage), await _make(stage)
    for preview_id in (ended, taken):
        await stage.worker.store(preview_id, {row: [("person", 0.9), ("cat", 0.1)] for row in stage.rows})
        assert await _left_of(stage, preview_id) > 10
    await stage.worker.end(ended)
    await stage.worker.take(taken)
    for preview_id in (ended, taken):
        answers = await asyncio.gather(*(stage.client.delete(f"/v1/previews/{preview_id}") for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [204, 404, 404]
        assert (await stage.client.get(f"/v1/previews/{preview_id}")).status_code == 404
        assert await _left_of(stage, preview_id) == 0
    events = await stage.get(f"/v1/projects/{stage.project}/events", limit=1000)
    assert [one["event"]["type"] for one in events["items"]].count("preview.deleted") == 2


async def test_the_oldest_make_room(
    api: Api, workspace: Workspace, api_servers: tuple[str, str], tmp_path: Any
) -> None:
    settings = api_settings(*api_servers, tmp_path).model_copy(update={"previews_kept": 3})
    async with running_api(settings) as small:
        stage = await make_stage(small, workspace)
        made = []
        for _ in range(5):
            made.append(await _make(stage))
            await stage.worker.store(made[-1], {stage.rows[0]: [("person", 0.9)]})
            await stage.worker.end(made[-1])
        listed = [UUID(one["id"]) for one in await stage.pages(f"/v1/projects/{stage.project}/previews")]
        assert listed == made[:1:-1]
        assert await _left_of(stage, made[0]) == 0
        running = [await _make(stage) for _ in range(3)]
        refused = await _post(stage, stage.body())
        assert (refused.status_code, refused.json()["code"]) == (409, "too_many_previews")
        await stage.client.post(f"/v1/previews/{running[1]}/cancel")
        newest = await _make(stage)
        listed = [UUID(one["id"]) for one in await stage.pages(f"/v1/projects/{stage.project}/previews")]
        assert listed == [newest, running[2], running[0]]


async def test_deleting_the_project_ends_its_previews(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    preview_id = await _make(stage)
    assert (await stage.client.delete(f"/v1/projects/{stage.project}")).status_code == 204
    assert (await stage.client.get(f"/v1/previews/{preview_id}")).status_code == 404
    async with api.resources.sessions() as session:
        assert (await session.get_one(ModelRunRow, preview_id)).state == "cancelled"


async def test_a_run_takes_over_what_a_preview_showed(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    entries = (stage.entry("person", "Person", threshold=0.7, min_area=4, max_count=2), stage.entry("cat", "Cats"))
    preview_id = await _make(stage, *entries, threshold=0.45, sample={"size": 2})
    preview = await stage.get(f"/v1/previews/{preview_id}")
    answer = await stage.post({"preview_id": str(preview_id), "alignment_version": 1, "limit": 4, "name": "all"})
    assert answer.status_code == 202, answer.text
    run = answer.json()
    assert (run["alignment"], run["model"], run["total"]) == (preview["alignment"], preview["model"], 4)
    assert (run["configuration"]["preview_id"], run["name"]) == (str(preview_id), "all")
    assert (await stage.client.delete(f"/v1/previews/{preview_id}")).status_code == 204
    assert (await stage.get(f"/v1/model-runs/{run['id']}"))["configuration"]["preview_id"] == str(preview_id)


async def test_a_run_of_a_preview_that_does_not_fit_any_more(
    api: Api, workspace: Workspace, elsewhere: Workspace
) -> None:
    stage, other = await make_stage(api, workspace), await make_stage(api, elsewhere)
    preview_id = str(await _make(stage))
    wanted = {"preview_id": preview_id, "alignment_version": 1}
    stale = await stage.post({**wanted, "alignment_version": 2})
    assert (stale.status_code, stale.json()["code"], stale.json()["alignment_version"]) == (409, "stale_alignment", 1)
    assert _pointers(await stage.post({"preview_id": preview_id, **stage.body(threshold=0.3)})) == {
        "/model_id": "not_with_preview",
        "/alignment": "not_with_preview",
        "/threshold": "not_with_preview",
        "/alignment_version": "missing",
    }
    foreign = {"preview_id": str(await _make(other)), "alignment_version": 1}
    assert _pointers(await stage.post(foreign)) == {"/preview_id": "unknown_preview"}
    assert _pointers(await stage.post({"alignment_version": 1})) == {
        "/model_id": "missing",
        "/alignment": "missing",
        "/alignment_version": "without_preview",
    }
    run_id = await stage.submit()
    assert _pointers(await stage.post({"preview_id": str(run_id), "alignment_version": 1})) == {
        "/preview_id": "unknown_preview"
    }
    await stage.client.post(f"/v1/model-runs/{run_id}/cancel")
    await stage.client.post(f"/v1/previews/{preview_id}/cancel")
    tree = await stage.client.get(f"/v1/projects/{stage.project}/ontology")
    kept = {name: tree.json()[name] for name in ("tools", "classifications")}
    kept["tools"] = [tool for tool in kept["tools"] if tool["name"] != "Cats"]
    put = await stage.client.put(
        f"/v1/projects/{stage.project}/ontology", json=kept, headers={"If-Match": tree.headers["etag"]}
    )
    assert put.status_code == 200, put.text
    assert _pointers(await stage.post(wanted)) == {"/preview_id": "removed_feature"}
    async with api.resources.sessions.begin() as session:
        away = update(CatalogModelRow).where(CatalogModelRow.id == UUID(stage.detector)).values(state="loading")
        await session.execute(away)
    blocked = await stage.post(wanted)
    assert (blocked.status_code, blocked.json()["code"]) == (409, "model_blocked")


async def test_the_same_key_makes_one_preview(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    path, headers = f"/v1/projects/{stage.project}/previews", {"Idempotency-Key": "once"}
    answers = [await stage.client.post(path, json=stage.body(), headers=headers) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert len(await stage.pages(path)) == 1


async def _patch(stage: Stage, preview_id: UUID, body: dict[str, Any], version: int) -> httpx2.Response:
    headers = {"If-Match": f'"{version}"'}
    return await stage.client.patch(f"/v1/previews/{preview_id}", json=body, headers=headers)


async def _finished(stage: Stage, said: dict[int, list[tuple[str, float]]], *entries: Any, **more: Any) -> UUID:
    preview_id = await _make(stage, *entries, **more)
    rows = await _sample(stage, preview_id)
    await stage.worker.store(preview_id, {row: said.get(stage.rows.index(row), []) for row in rows})
    await stage.worker.end(preview_id)
    return preview_id


async def _shown(stage: Stage, preview_id: UUID, **query: Any) -> list[tuple[str, str, float]]:
    found = await stage.pages(f"/v1/previews/{preview_id}/pre-labels", **query)
    return [(one["global_key"], one["model_class"], one["confidence"]) for one in found]


async def test_thresholds_move_without_a_model(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=3)
    said = {0: [("person", 0.9), ("person", 0.3), ("cat", 0.5)], 1: [("cat", 0.2)]}
    preview_id = await _finished(stage, said, threshold=0.4)
    path = f"/v1/previews/{preview_id}"
    assert await _shown(stage, preview_id) == [("000.jpg", "person", 0.9), ("000.jpg", "cat", 0.5)]

    moved = await _patch(stage, preview_id, {"threshold": 0.2}, 1)
    assert (moved.status_code, moved.headers["etag"]) == (200, '"2"')
    assert [entry["threshold"] for entry in moved.json()["alignment"]] == [0.2, 0.2]
    assert moved.json() == await stage.get(path)
    assert len(await _shown(stage, preview_id)) == 4
    moved = await _patch(stage, preview_id, {"threshold": 0.2, "thresholds": {"person": 0.95}}, 2)
    assert [entry["threshold"] for entry in moved.json()["alignment"]] == [0.95, 0.2]
    assert await _shown(stage, preview_id) == [("000.jpg", "cat", 0.5), ("001.jpg", "cat", 0.2)]
    ledger = {one["model_class"]: one for one in (await stage.get(f"{path}/ledger"))["classes"]}
    assert (ledger["person"]["shown"], ledger["person"]["dropped"]) == (0, {"below_threshold": 2})
    assert (ledger["cat"]["shown"], ledger["cat"]["raw"]) == (2, 2)

    other = {"alignment": {"entries": [stage.entry("dog", "Person"), stage.entry("person", "Cats", threshold=0.3)]}}
    moved = await _patch(stage, preview_id, {**other, "threshold": 0.6}, 3)
    named = [(entry["model_class"], entry["feature_name"], entry["threshold"]) for entry in moved.json()["alignment"]]
    assert named == [("dog", "Person", 0.6), ("person", "Cats", 0.3)]
    assert await _shown(stage, preview_id) == [("000.jpg", "person", 0.9), ("000.jpg", "person", 0.3)]

    same = await _patch(stage, preview_id, {"thresholds": {"dog": 0.6}}, 4)
    assert (same.status_code, same.headers["etag"]) == (200, '"4"')
    assert (await _patch(stage, preview_id, {}, 4)).headers["etag"] == '"4"'
    events = await stage.get(f"/v1/projects/{stage.project}/events", limit=1000)
    realigned = [one["event"]["data"] for one in events["items"] if one["event"]["type"] == "preview.realigned"]
    assert [one["alignment_version"] for one in realigned] == [2, 3, 4]
    run = await stage.post({"preview_id": str(preview_id), "alignment_version": 4})
    assert run.json()["alignment"] == same.json()["alignment"]


async def test_what_a_preview_is_not_changed_to(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace)
    preview_id = await _make(stage)
    path = f"/v1/previews/{preview_id}"
    body = {"threshold": 0.5}
    assert (await stage.client.patch(path, json=body)).status_code == 428
    assert (await _patch(stage, preview_id, body, 2)).status_code == 412
    early = await _patch(stage, preview_id, body, 1)
    assert (early.status_code, early.json()["code"], early.json()["state"]) == (409, "run_not_ended", "queued")
    await stage.client.post(f"{path}/cancel")
    wrong = {
        "threshold": 0.01,
        "thresholds": {"person": 1.5, "a/b": 0.5},
        "alignment": {"entries": [stage.entry("unicorn", "Person")]},
    }
    assert _pointers(await _patch(stage, preview_id, wrong, 1)) == {
        "/threshold": "threshold_under_floor",
        "/thresholds/person": "class_not_aligned",
        "/thresholds/a~1b": "class_not_aligned",
        "/alignment/entries/0/model_class": "unknown_model_class",
    }
    assert _pointers(await _patch(stage, preview_id, {"thresholds": {"person": 1.5}, "threshold": 2}, 1)) == {
        "/thresholds/person": "threshold_out_of_range",
        "/threshold": "threshold_out_of_range",
    }
    viewer = api.as_(workspace, Role.VIEWER)
    assert (await viewer.patch(path, json=body, headers={"If-Match": '"1"'})).status_code == 403
    others = api.as_(elsewhere)
    assert (await others.patch(path, json=body, headers={"If-Match": '"1"'})).status_code == 404
    assert (await stage.get(path))["alignment_version"] == 1
    full = {
        "alignment": {"entries": [stage.entry("person", "Person")]},
        "threshold": 0.5,
        "thresholds": {"person": 0.6},
    }
    for one in spoiled(full):
        answer = await _patch(stage, preview_id, one, 1)
        assert answer.status_code < 500, f"{str(one)[:300]}: {answer.text}"


async def test_two_who_change_at_once_do_not_lose_a_change(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    preview_id = await _finished(stage, {0: [("person", 0.9)]})
    answers = await asyncio.gather(*(_patch(stage, preview_id, {"threshold": 0.5 + n / 10}, 1) for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


async def test_the_sweep_says_what_every_threshold_shows(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    said = {
        0: [("person", 0.9), ("person", 0.35), ("cat", 0.5), ("dog", 0.99)],
        1: [("person", 0.36), ("cat", 0.05)],
        2: [("cat", 0.8), ("cat", 0.7), ("cat", 0.6)],
    }
    entries = (
        stage.entry("person", "Person", when={"confidence": {"maximum": 0.95}}),
        stage.entry("cat", "Cats", max_count=2, threshold=0.9),
        stage.entry("cat", "Person", min_area=1e6),
    )
    preview_id = await _finished(stage, said, *entries)
    found = await stage.get(f"/v1/previews/{preview_id}/sweep")
    assert (found["floor"], found["data_rows"], found["labeled_data_rows"]) == (0.05, 5, 0)
    assert found["thresholds"] == [n / 100 for n in range(101)]
    assert [one["model_class"] for one in found["classes"]] == ["cat", "person"]
    for one in found["classes"]:
        assert one["shown"][:5] == one["pre_labels"][:5] == [None] * 5
        assert one["quality"] is None
    for place in (5, 35, 36, 37, 60, 61, 90, 91, 100):
        listed = await _shown(stage, preview_id, threshold=place / 100)
        for one in found["classes"]:
            assert one["shown"][place] == sum(model_class == one["model_class"] for _, model_class, _ in listed)
        assert found["shown"][place] == len(listed)
    await _patch(stage, preview_id, {"threshold": 0.36}, 1)
    ledger = await stage.get(f"/v1/previews/{preview_id}/ledger")
    shown = {one["model_class"]: one["shown"] for one in ledger["classes"]}
    swept = (await stage.get(f"/v1/previews/{preview_id}/sweep"))["classes"]
    assert {one["model_class"]: one["shown"][36] for one in swept} == {name: shown[name] for name in ("cat", "person")}


async def test_the_sweep_is_held_against_labels_of_people(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished({0: [("person", 0.9)], 1: [("person", 0.9)]}, threshold=0.4)
    for found in await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"):
        accepted = {"decisions": [{"pre_label_id": found["id"], "action": "accept"}]}
        path = f"/v1/data-rows/{found['data_row_id']}/decisions"
        assert (await stage.client.post(path, json=accepted, headers={"If-Match": '"0"'})).status_code == 201
    # The fake worker's boxes are told apart by their place: the first of a row is the one that was accepted.
    said = {0: [("person", 0.8), ("cat", 0.9)], 1: [("person", 0.3)], 2: [("person", 0.95)]}
    preview_id = await _finished(stage, said)
    swept = await stage.get(f"/v1/previews/{preview_id}/sweep")
    assert swept["labeled_data_rows"] == 2
    person = next(one for one in swept["classes"] if one["model_class"] == "person")
    quality = person["quality"]
    assert (quality["labels"], person["shown"][50]) == (2, 2)
    assert [quality["precision"][n] for n in (4, 30, 50, 81)] == [None, 1.0, 1.0, None]
    assert [quality["recall"][n] for n in (30, 31, 81)] == [1.0, 0.5, 0.0]
    assert quality["f1"][30] == 1.0
    assert 0.05 <= quality["recommended_threshold"] <= 0.3
    assert next(one for one in swept["classes"] if one["model_class"] == "cat")["quality"] is None
    assert (await stage.get(f"/v1/previews/{preview_id}/sweep", text_match="overlap"))["text_match"] == "overlap"


async def test_previews_side_by_side(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace)
    said = {0: [("person", 0.9), ("person", 0.3)], 1: [("cat", 0.8)], 2: [("person", 0.6)], 3: []}
    one = await _finished(stage, said, threshold=0.25)
    other = await _finished(stage, said, threshold=0.7, sample={"preview_id": str(one)})
    path = "/v1/previews/compare"
    found = await stage.get(path, ids=f"{one},{other}")
    assert [(preview["id"], preview["shown"]) for preview in found["previews"]] == [(str(one), 4), (str(other), 2)]
    assert found["previews"][0]["classes"] == {"cat": 1, "person": 3}
    assert [(f["feature_name"], f["shown"]) for f in found["features"]] == [("Cats", [1, 1]), ("Person", [3, 1])]
    (pair,) = found["pairs"]
    assert (pair["same"], pair["only_first"], pair["only_second"], pair["agreement"]) == (2, 2, 0, 0.5)
    assert (found["data_rows"], found["same_data_rows"]) == (5, 3)
    assert [(row["global_key"], row["shown"]) for row in found["items"]] == [("000.jpg", [2, 1]), ("002.jpg", [1, 0])]
    assert found["next_page_token"] is None
    paged = await stage.pages(path, ids=f"{one},{other}", page_size=1)
    assert paged == found["items"]
    three = await _finished(stage, {}, sample={"preview_id": str(one)})
    found = await stage.get(path, ids=f"{one},{other},{three}")
    assert len(found["pairs"]) == 3
    assert found["same_data_rows"] == 2

    smaller = await _finished(stage, said, sample={"size": 2})
    refused = await stage.client.get(path, params={"ids": f"{one},{smaller}"})
    assert (refused.status_code, refused.json()["code"]) == (409, "samples_differ")
    theirs = await _make(await make_stage(api, elsewhere))
    run_id = await stage.submit()
    for unknown in (theirs, run_id, uuid4()):
        assert (await stage.client.get(path, params={"ids": f"{one},{unknown}"})).status_code == 404
    for ids in (str(one), f"{one},{one}", f"{one},x", ",", f"{one},{other},{three},{smaller}"):
        assert (await stage.client.get(path, params={"ids": ids})).status_code == 422
    assert (await stage.client.get(path)).status_code == 422


async def test_one_thing_wrong_is_the_clients_fault(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    rows = [str(row) for row in stage.rows[:2]]
    samples: list[dict[str, Any]] = [
        {"data_row_ids": rows},
        {"method": "stratified", "field": "f", "size": 3, "seed": 2},
    ]
    for sample in samples:
        body = stage.body(stage.entry("person", "Person"), threshold=0.5, name="n", sample=sample)
        for wrong in spoiled(body):
            answer = await stage.client.post(f"/v1/projects/{stage.project}/previews", json=wrong)
            assert answer.status_code < 500, f"{str(wrong)[:300]}: {answer.text}"
