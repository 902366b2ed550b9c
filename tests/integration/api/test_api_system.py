"""What an admin sees of the installation, and what stays hidden."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import text

from services.api.access.principal import Role
from shared.presence import keep_present
from tests.integration.api.stage import make_stage
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.cards import card
from tests.support.runs import add_model

_OWN = card("own-secret-model", "bounding_box", ("person",))


async def test_admins_see_versions_parts_queues_and_models(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=3)
    await stage.submit()
    found = await system(api.as_(workspace))
    assert found["scope"] == "workspace"
    assert set(found["versions"]) == {"prelabel", "python", "postgresql", "migration"}
    assert found["versions"]["postgresql"].split(".")[0].isdigit()
    assert {name: part["ok"] for name, part in found["parts"].items()} == {
        "postgresql": True,
        "redis": True,
        "object_store": True,
    }
    (runs,) = found["queue"]
    assert (runs["purpose"], runs["queued"], runs["rows_to_do"], runs["open_segments"]) == ("run", 1, 3, 1)
    assert runs["oldest_seconds"] >= 0
    assert found["operations"] == {"queued": 0, "running": 0, "oldest_seconds": 0.0}
    assert {stage.detector, stage.classifier} <= {model["id"] for model in found["models"]}


async def test_other_workspaces_and_names_of_hosts_are_not_shown(
    api: Api, workspace: Workspace, elsewhere: Workspace
) -> None:
    stage = await make_stage(api, elsewhere, rows=3)
    await stage.submit()
    await add_model(api.resources.sessions, _OWN, workspace_id=elsewhere.id)
    answer = await api.as_(workspace).get("/v1/system")
    found = answer.json()
    assert found["queue"] == []
    assert {model["workspace_id"] for model in found["models"]} <= {None, str(workspace.id)}
    assert {process["name"] for process in found["processes"]} <= {None}
    assert "own-secret-model" not in answer.text
    for secret in (str(elsewhere.id), "postgresql://", "redis://", "file://", "a secret for tests only"):
        assert secret not in answer.text


async def test_only_admins(api: Api, workspace: Workspace) -> None:
    for role in (Role.VIEWER, Role.LABELER, Role.EDITOR):
        answer = await api.as_(workspace, role).get("/v1/system")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await api.client.get("/v1/system")).status_code == 401


async def test_operators_see_everybody(
    api: Api, workspace: Workspace, elsewhere: Workspace, api_servers: tuple[str, str], tmp_path: Path
) -> None:
    stage = await make_stage(api, elsewhere, rows=3)
    await stage.submit()
    model = await add_model(api.resources.sessions, _OWN, workspace_id=elsewhere.id)
    settings = api_settings(*api_servers, tmp_path / "objects").model_copy(
        update={"operator_workspace_ids": (workspace.id,)}
    )
    async with running_api(settings) as other:
        found = await system(other.as_(workspace))
        assert found["scope"] == "installation"
        assert str(model) in {one["id"] for one in found["models"]}
        assert found["queue"][0]["rows_to_do"] >= 3
        assert (await system(other.as_(elsewhere)))["scope"] == "workspace"


async def test_a_process_is_there_while_it_lives(api: Api, workspace: Workspace) -> None:
    async def workers() -> list[Any]:
        found = await system(api.as_(workspace))
        return [one for one in found["processes"] if one["service"] == "inference"]

    before = len(await workers())
    life = asyncio.create_task(keep_present(api.resources.sessions, "inference", "preview"))
    async with asyncio.timeout(20):
        while len(await workers()) == before:
            await asyncio.sleep(0.05)
    assert {one["purpose"] for one in await workers()} >= {"preview"}
    life.cancel()
    await asyncio.gather(life, return_exceptions=True)
    assert len(await workers()) == before


async def test_one_that_was_killed_is_not_shown_for_long(api: Api, workspace: Workspace) -> None:
    silent = text("""
        INSERT INTO processes (id, service, name, version, heartbeat_at)
        VALUES (gen_random_uuid(), 'notifier', 'gone:1', '0.0.1', now() - interval '61 s')
    """)
    async with api.resources.sessions.begin() as session:
        await session.execute(silent)
    assert "0.0.1" not in {one["version"] for one in (await system(api.as_(workspace)))["processes"]}


async def system(client: httpx2.AsyncClient) -> Any:
    answer = await client.get("/v1/system")
    assert answer.status_code == 200, answer.text
    return answer.json()
