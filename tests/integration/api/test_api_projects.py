import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select

from services.api.access.principal import Role
from services.api.retention import Retention, trim_events
from shared.contracts.envelope import Envelope
from shared.database.event_log import read_events
from shared.database.tables import (
    AlignmentEntryRow,
    AlignmentRow,
    CatalogModelRow,
    DataRowRow,
    FeatureSchemaRow,
    LabelRow,
    ModelRunRow,
    RowOutcomeRow,
    SegmentRow,
)
from shared.database.unit_of_work import unit_of_work
from shared.ids import new_id
from tests.support.api import Api, Workspace
from tests.support.cards import card

pytestmark = pytest.mark.asyncio

TREE: dict[str, Any] = {
    "tools": [
        {
            "type": "bounding_box",
            "name": "Person",
            "classifications": [
                {"type": "checklist", "name": "Wears", "options": [{"name": "hat"}, {"name": "glasses"}]},
            ],
        },
        {"type": "polygon", "name": "Car", "color": "#d73027"},
    ],
    "classifications": [
        {
            "type": "radio",
            "name": "Scene",
            "options": [
                {"name": "indoors"},
                {"name": "outdoors", "classifications": [{"type": "free_text", "name": "Where"}]},
            ],
        }
    ],
}


async def make_project(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/projects", json={"name": "p", "media_type": "image", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_project_is_made_changed_and_listed(admin: httpx2.AsyncClient) -> None:
    answer = await admin.post("/v1/projects", json={"name": "Streets", "media_type": "image", "ontology": TREE})
    project = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/projects/{project['id']}"
    assert (project["ontology_version"], project["revision"]) == (1, 1)
    read = await admin.get(answer.headers["location"])
    assert (read.json(), read.headers["etag"]) == (project, answer.headers["etag"])

    changed = await admin.patch(
        f"/v1/projects/{project['id']}",
        content=b'{"description": "Berlin"}',
        headers={"If-Match": read.headers["etag"], "Content-Type": "application/merge-patch+json"},
    )
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["name"], changed.json()["description"]) == ("Streets", "Berlin")
    assert [item["id"] for item in (await admin.get("/v1/projects")).json()["items"]] == [project["id"]]


@pytest.mark.parametrize(
    ("header", "status"), [(None, 428), ('"1"', 412), ('"x"', 412), ('W/"2"', 412), ("*", 412), ('"2"', 200)]
)
async def test_change_needs_the_etag_that_was_read(admin: httpx2.AsyncClient, header: str | None, status: int) -> None:
    path = f"/v1/projects/{(await make_project(admin))['id']}"
    await admin.patch(path, json={"name": "q"}, headers={"If-Match": '"1"'})
    answer = await admin.patch(path, json={"name": "r"}, headers={"If-Match": header} if header else {})
    assert answer.status_code == status, answer.text


async def test_two_who_read_the_same_cannot_both_change(admin: httpx2.AsyncClient) -> None:
    path = f"/v1/projects/{(await make_project(admin))['id']}"
    answers = await asyncio.gather(
        *(admin.patch(path, json={"name": f"n{n}"}, headers={"If-Match": '"1"'}) for n in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


async def test_null_does_not_clear_a_name(admin: httpx2.AsyncClient) -> None:
    path = f"/v1/projects/{(await make_project(admin))['id']}"
    wrong: list[Any] = [{"name": None}, {"name": "  "}, {"media_type": "text"}, []]
    for body in wrong:
        assert (await admin.patch(path, json=body, headers={"If-Match": '"1"'})).status_code == 422


async def test_every_problem_of_an_ontology_is_listed_by_pointer(admin: httpx2.AsyncClient) -> None:
    wrong = {
        "tools": [
            {"type": "text_entity", "name": "Word"},
            {"type": "bounding_box", "name": "Cat"},
            {"type": "bounding_box", "name": "cat", "id": str(uuid4())},
        ],
        "classifications": [{"type": "radio", "name": "Scene"}],
    }
    found = await admin.post("/v1/projects", json={"name": "p", "media_type": "image", "ontology": wrong})
    assert (found.status_code, found.json()["code"]) == (422, "invalid_ontology")
    assert {(error["pointer"], error["code"]) for error in found.json()["errors"]} == {
        ("/ontology/tools/0/type", "tool_does_not_fit_media_type"),
        ("/ontology/tools/2/name", "duplicate_name"),
        ("/ontology/tools/2/id", "unknown_id"),
        ("/ontology/classifications/0/options", "options_missing"),
    }
    assert (await admin.get("/v1/projects")).json()["items"] == []

    shape = {"tools": [{"type": "bbox", "name": ""}, {"name": "x"}], "more": 1}
    found = await admin.post("/v1/projects", json={"name": "p", "media_type": "image", "ontology": shape})
    assert {error["pointer"] for error in found.json()["errors"]} == {
        "/ontology/tools/0/type",
        "/ontology/tools/0/name",
        "/ontology/tools/1/type",
        "/ontology/more",
    }


async def test_ontology_versions_keep_ids(api: Api, admin: httpx2.AsyncClient) -> None:
    path = f"/v1/projects/{(await make_project(admin))['id']}/ontology"
    empty = await admin.get(path)
    assert (empty.json()["version"], empty.headers["etag"]) == (0, '"0"')

    first = await admin.put(path, json=TREE, headers={"If-Match": '"0"'})
    assert (first.status_code, first.headers["etag"]) == (200, '"1"')
    tree = {key: first.json()[key] for key in ("tools", "classifications")}
    same = await admin.put(path, json=tree, headers={"If-Match": '"1"'})
    assert same.json() == first.json()

    tree["tools"][0]["name"] = "Human"
    car = tree["tools"].pop()
    second = await admin.put(path, json=tree, headers={"If-Match": '"1"'})
    assert second.json()["version"] == 2
    assert second.json()["tools"][0]["id"] == first.json()["tools"][0]["id"]
    assert (await admin.get(path, params={"version": 1})).json() == first.json()
    assert (await admin.get(path, params={"version": 9})).status_code == 404
    assert (await admin.put(path, json=tree, headers={"If-Match": '"1"'})).status_code == 412

    async with api.resources.sessions() as session:
        row = await session.get_one(FeatureSchemaRow, UUID(car["id"]))
        assert (row.added_in_version, row.removed_in_version) == (1, 2)
        human = await session.get_one(FeatureSchemaRow, UUID(tree["tools"][0]["id"]))
        assert (human.name, human.removed_in_version) == ("Human", None)

    back = {**tree, "tools": [*tree["tools"], car]}
    assert (await admin.put(path, json=back, headers={"If-Match": '"2"'})).json()["tools"][1]["id"] == car["id"]
    moved = {**tree, "tools": [*tree["tools"], {**car, "type": "bounding_box"}]}
    assert (await admin.put(path, json=moved, headers={"If-Match": '"3"'})).json()["errors"][0][
        "code"
    ] == "kind_changed"


async def test_what_labels_use_is_not_removed(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    project = await make_project(admin, ontology=TREE)
    path = f"/v1/projects/{project['id']}/ontology"
    tree = {key: (await admin.get(path)).json()[key] for key in ("tools", "classifications")}
    car, outdoors = tree["tools"][1]["id"], tree["classifications"][0]["options"][1]["id"]
    async with unit_of_work(api.resources.sessions, api.resources.signals, "service:tests") as work:
        row_id = new_id()
        work.session.add(
            DataRowRow(id=row_id, workspace_id=workspace.id, project_id=UUID(project["id"]), global_key="a")
        )
        await work.session.flush()
        for feature, annotation in (
            (car, {"kind": "polygon", "parts": []}),
            (tree["classifications"][0]["id"], {"kind": "radio", "option_id": outdoors}),
        ):
            label = LabelRow(
                workspace_id=workspace.id,
                project_id=UUID(project["id"]),
                data_row_id=row_id,
                feature_schema_id=UUID(feature),
                annotation=annotation,
                provenance={},
                created_by=new_id(),
            )
            work.session.add(label)
    fewer = {"tools": tree["tools"][:1], "classifications": tree["classifications"]}
    fewer["classifications"][0]["options"].pop()
    refused = await admin.put(path, json=fewer, headers={"If-Match": '"1"'})
    assert (refused.status_code, refused.json()["code"]) == (409, "ontology_in_use")
    assert {(one["feature_schema_id"], one["labels"]) for one in refused.json()["in_use"]} == {(car, 1), (outdoors, 1)}
    assert (await admin.get(path)).headers["etag"] == '"1"'


async def test_what_an_active_run_is_aligned_with_is_not_removed(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    project = await make_project(admin, ontology=TREE)
    path = f"/v1/projects/{project['id']}/ontology"
    tree = {key: (await admin.get(path)).json()[key] for key in ("tools", "classifications")}
    run_id = await queue_run(api, workspace, UUID(project["id"]), UUID(tree["tools"][1]["id"]))
    fewer = {**tree, "tools": tree["tools"][:1]}
    refused = await admin.put(path, json=fewer, headers={"If-Match": '"1"'})
    assert refused.json()["in_use"] == [
        {"feature_schema_id": tree["tools"][1]["id"], "name": "Car", "labels": 0, "model_run_ids": [str(run_id)]}
    ]
    async with unit_of_work(api.resources.sessions, api.resources.signals, "service:tests") as work:
        (await work.session.get_one(ModelRunRow, run_id)).state = "completed"
    assert (await admin.put(path, json=fewer, headers={"If-Match": '"1"'})).status_code == 200


async def test_deleting_a_project_hides_it_and_cancels_its_runs(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    project = await make_project(admin, ontology=TREE)
    run_id = await queue_run(api, workspace, UUID(project["id"]), new_id())
    assert (await admin.delete(f"/v1/projects/{project['id']}")).status_code == 204
    for path in ("", "/ontology", "/readiness", "/events", "/data-rows", "/batches"):
        assert (await admin.get(f"/v1/projects/{project['id']}{path}")).status_code == 404
    assert (await admin.delete(f"/v1/projects/{project['id']}")).status_code == 404
    assert (await admin.get("/v1/projects")).json()["items"] == []

    async with api.resources.sessions() as session:
        run = await session.get_one(ModelRunRow, run_id)
        assert (run.state, run.state_reason, run.succeeded) == ("cancelled", "project_deleted", 7)
        assert run.finished_at is not None
        segments = list(await session.scalars(select(SegmentRow).where(SegmentRow.model_run_id == run_id)))
        assert {(segment.state, segment.generation) for segment in segments} == {("cancelled", 6), ("done", 5)}
        events = await read_events(session, UUID(project["id"]), 0, 10)
        assert [event.type for event in events][-2:] == ["model_run.cancelled", "project.deleted"]
        assert json.loads(events[-2].payload)["data"]["succeeded"] == 7


async def test_events_are_read_from_any_offset(admin: httpx2.AsyncClient) -> None:
    project = await make_project(admin, ontology=TREE)
    path = f"/v1/projects/{project['id']}"
    await admin.patch(path, json={"name": "q"}, headers={"If-Match": '"1"'})
    found = (await admin.get(f"{path}/events")).json()
    assert (found["head"], found["first_offset"]) == (3, 1)
    assert [(item["offset"], item["event"]["type"]) for item in found["items"]] == [
        (1, "project.created"),
        (2, "ontology.updated"),
        (3, "project.updated"),
    ]
    Envelope.model_validate(found["items"][0]["event"])
    rest = (await admin.get(f"{path}/events", params={"after": 1, "limit": 1})).json()
    assert [item["offset"] for item in rest["items"]] == [2]
    assert (await admin.get(f"{path}/events", params={"after": 2**63})).status_code == 422


async def test_who_asks_for_trimmed_events_is_told_so(api: Api, admin: httpx2.AsyncClient) -> None:
    project = await make_project(admin, ontology=TREE)
    path = f"/v1/projects/{project['id']}/events"
    while await trim_events(api.resources.sessions, Retention(timedelta(days=1), 1)):
        pass  # so many streams at once, and other tests have made theirs
    found = (await admin.get(path)).json()
    assert (found["recovered"], found["first_offset"], found["head"]) == (False, 2, 2)
    assert [item["offset"] for item in found["items"]] == [2]
    for query, recovered in [
        ({"after": 1}, True),
        ({"after": 2}, True),
        ({"after": 3}, False),
        ({"after": 1, "epoch": found["epoch"]}, True),
        ({"after": 1, "epoch": "another"}, False),
    ]:
        assert (await admin.get(path, params=query)).json()["recovered"] is recovered, query


async def test_readiness_names_the_missing_step(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    project = await make_project(admin)
    path = f"/v1/projects/{project['id']}"

    async def missing() -> list[str]:
        found = (await admin.get(f"{path}/readiness")).json()
        assert found["ready"] == all(check["ok"] for check in found["checks"])
        assert all((check["fix"] is None) == check["ok"] for check in found["checks"])
        return [check["code"] for check in found["checks"] if not check["ok"]]

    async with unit_of_work(api.resources.sessions, api.resources.signals, "service:tests") as work:
        detector = card("detector", "bounding_box", ["cat"])
        work.session.add(
            CatalogModelRow(
                workspace_id=workspace.id,
                slug=detector.slug,
                name=detector.name,
                version=detector.version,
                digest=uuid4().hex,
                media_type=detector.media_type,
                task=detector.task,
                card=detector.model_dump(mode="json"),
                state="ready",
            )
        )
    assert await missing() == ["ontology", "data_rows", "batch", "model"]
    await admin.put(f"{path}/ontology", json={"tools": TREE["tools"][:1]}, headers={"If-Match": '"0"'})
    assert await missing() == ["data_rows", "batch"]
    item = {"global_key": "a", "uri": "https://images.example.org/a.jpg"}
    await admin.post(f"{path}/data-rows", json={"items": [item]})
    assert await missing() == ["batch"]
    await admin.post(f"{path}/batches", json={"name": "b", "all": True})
    assert await missing() == []


async def test_viewer_reads_but_does_not_write(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    project = await make_project(admin)
    for role in (Role.VIEWER, Role.LABELER):
        client = api.as_(workspace, role)
        assert (await client.get(f"/v1/projects/{project['id']}")).status_code == 200
        assert (await client.post("/v1/projects", json={"name": "p", "media_type": "image"})).status_code == 403
        assert (await client.delete(f"/v1/projects/{project['id']}")).status_code == 403
    assert (await api.as_(workspace, Role.EDITOR).delete(f"/v1/projects/{project['id']}")).status_code == 204


async def queue_run(api: Api, workspace: Workspace, project_id: UUID, feature_id: UUID) -> UUID:
    """A running run of 20 rows: one segment done, one leased with 3 rows stored."""
    run_id = new_id()
    async with unit_of_work(api.resources.sessions, api.resources.signals, "service:tests") as work:
        about: dict[str, Any] = {"workspace_id": workspace.id, "model_run_id": run_id}
        work.session.add(
            ModelRunRow(
                id=run_id,
                workspace_id=workspace.id,
                project_id=project_id,
                configuration={},
                state="running",
                total=20,
                succeeded=4,
                created_by=new_id(),
            )
        )
        await work.session.flush()
        work.session.add(AlignmentRow(**about, version=1, created_by=new_id()))
        work.session.add(
            AlignmentEntryRow(
                **about,
                version=1,
                ordinal=0,
                model_class="car",
                feature_schema_id=feature_id,
                target_type="polygon",
                threshold=0.5,
            )
        )
        for ordinal, (state, succeeded) in enumerate((("done", 4), ("leased", 3))):
            work.session.add(
                SegmentRow(
                    **about,
                    project_id=project_id,
                    execution=1,
                    ordinal=ordinal,
                    data_row_ids=[],
                    state=state,
                    generation=5,
                    succeeded=succeeded,
                )
            )
        await work.session.flush()
        work.session.add_all(
            RowOutcomeRow(**about, data_row_id=new_id(), execution=1, state="succeeded") for _ in range(7)
        )
    return run_id
