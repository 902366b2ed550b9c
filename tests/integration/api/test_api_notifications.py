import pytest

from services.api.access.principal import Role
from shared.snapshots import notifications_snapshot
from tests.integration.api.stage import make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def test_ends_of_runs_notify_each_member(
    api: Api, workspace: Workspace, elsewhere: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await make_stage(api, workspace)
    ended = [await stage.finished({}) for _ in range(3)]
    open_run = await stage.submit()
    cancelled = (await stage.client.post(f"/v1/model-runs/{open_run}/cancel", json={})).json()["id"]

    found = await stage.pages("/v1/notifications", page_size=2)
    assert [(n["type"], n["subject"]["id"]) for n in found] == [
        ("model_run.cancelled", cancelled),
        *(("model_run.completed", str(run_id)) for run_id in reversed(ended)),
    ]
    assert {n["read_at"] for n in found} == {None}
    page = await stage.get("/v1/notifications")
    assert page["unread"] == 4
    async with api.resources.sessions() as session:
        snapshot = await notifications_snapshot(
            session, workspace.id, workspace.members[Role.ADMIN], api.resources.pager
        )
    assert snapshot.model_dump(mode="json") == page

    monkeypatch.setattr("shared.snapshots.DEFAULT_PAGE_SIZE", 3)
    async with api.resources.sessions() as session:
        snapshot = await notifications_snapshot(
            session, workspace.id, workspace.members[Role.ADMIN], api.resources.pager
        )
    rest = await stage.get("/v1/notifications", page_token=snapshot.next_page_token)
    assert [*snapshot.model_dump(mode="json")["items"], *rest["items"]] == page["items"]

    read = "/v1/notifications/read"
    ids = [found[0]["id"], found[2]["id"]]
    for _ in range(2):
        assert (await stage.client.post(read, json={"ids": ids})).json() == {"unread": 2}
    marked = await stage.pages("/v1/notifications")
    assert [n["read_at"] is None for n in marked] == [False, True, False, True]

    viewer = api.as_(workspace, Role.VIEWER)
    assert (await viewer.get("/v1/notifications")).json()["unread"] == 4
    assert (await viewer.post(read, json={"all": True})).json() == {"unread": 0}
    assert (await stage.get("/v1/notifications"))["unread"] == 2
    assert [n["read_at"] for n in await stage.pages("/v1/notifications")] == [n["read_at"] for n in marked]

    theirs = api.as_(elsewhere)
    assert (await theirs.get("/v1/notifications")).json() == {"items": [], "next_page_token": None, "unread": 0}
    foreign = await theirs.post(read, json={"ids": ids})
    assert foreign.status_code == 422
    assert [e["pointer"] for e in foreign.json()["errors"]] == ["/ids/0", "/ids/1"]
    wrong_bodies: tuple[dict[str, object], ...] = ({}, {"ids": []}, {"ids": ids, "all": True}, {"all": False})
    for wrong in wrong_bodies:
        assert (await stage.client.post(read, json=wrong)).status_code == 422
