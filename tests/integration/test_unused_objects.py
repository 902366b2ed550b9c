"""Objects of projects that are gone leave the object store, those that somebody names stay, whoever dies meanwhile."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from deploy.local.stack import Addresses
from services.api.purging import Purge, purge_projects
from services.api.removal import Removal, remove_unused
from services.api.settings import ApiSettings
from shared.errors import Unavailable
from shared.object_store import content_key, uri_of
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.operations import worker_process
from tests.support.waiting import until

_KEEP = Purge(timedelta(days=30), timedelta(days=30), pages=10_000)
_PIXEL = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0"
    b"\x1f\0\x05\0\x01\xff\xa7\xea\xa7\xd5\0\0\0\0IEND\xaeB`\x82"
)
_MANY, _SHARED = 2_400, 10


@pytest.fixture
async def api(servers: Addresses, database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """On a database of its own: these tests age what is in the tables."""
    async with running_api(api_settings(database_url, servers.redis_url, tmp_path / "objects")) as found:
        yield found


@pytest.fixture
async def workspace(api: Api) -> Workspace:
    return await api.workspace()


@pytest.fixture
def admin(api: Api, workspace: Workspace) -> httpx2.AsyncClient:
    return api.as_(workspace)


async def test_a_killed_worker_is_followed_by_one_that_goes_on(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient, tmp_path: Path
) -> None:
    gone, kept = await _project(admin), await _project(admin)
    contents = [str(number).encode() for number in range(_MANY)]
    for content in contents:
        await api.resources.store.put(content_key(workspace.id, sha256(content).hexdigest()), content)
    await _name(api, workspace, gone, contents)
    await _name(api, workspace, kept, contents[:_SHARED])
    await _purge(api, admin, gone)
    folder = tmp_path / "objects" / str(workspace.id) / "data-rows"
    assert len(os.listdir(folder)) == _MANY, "nothing goes at once"
    await _age_notes(api)
    environment = _environment(api.resources.settings)
    async with worker_process(environment) as first:
        async with asyncio.timeout(60):
            while len(os.listdir(folder)) > _MANY - 250:
                await asyncio.sleep(0.001)
        first.kill()
        await first.wait()
    assert len(os.listdir(folder)) > _SHARED, "it was killed before the end"
    async with worker_process(environment):
        await until(lambda: len(os.listdir(folder)) == _SHARED, 60)
        async with asyncio.timeout(60):
            while await _open_notes(api):
                await asyncio.sleep(0.05)
    for content in contents[:_SHARED]:
        assert await api.resources.store.get(content_key(workspace.id, sha256(content).hexdigest()), 100) == content


async def test_an_upload_of_the_same_bytes_keeps_the_object(api: Api, admin: httpx2.AsyncClient) -> None:
    gone = await _project(admin)
    await _upload(admin, gone)
    await _purge(api, admin, gone)
    again = await _project(admin)
    row = await _upload(admin, again)
    await _age_notes(api)
    assert await remove_unused(api.resources.sessions, api.resources.store, Removal()) == 0
    assert (await admin.get(f"/v1/data-rows/{row}/content")).content == _PIXEL


async def test_while_it_goes_it_counts_as_gone_and_comes_back_when_it_is_sent_again(
    api: Api, admin: httpx2.AsyncClient, tmp_path: Path
) -> None:
    gone, again = await _project(admin), await _project(admin)
    await _upload(admin, gone)
    await _purge(api, admin, gone)
    await _age_notes(api)
    away = (tmp_path / "objects").rename(tmp_path / "away")
    with pytest.raises(Unavailable):  # between the mark and the removal, as if its process had died there
        await remove_unused(api.resources.sessions, api.resources.store, Removal())
    away.rename(tmp_path / "objects")
    refused = await _sent(admin, again)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert (await admin.get(f"{again}/data-rows")).json()["items"] == []
    assert await remove_unused(api.resources.sessions, api.resources.store, Removal()) == 1
    row = await _upload(admin, again)
    assert (await admin.get(f"/v1/data-rows/{row}/content")).content == _PIXEL
    await _age_notes(api)
    assert await remove_unused(api.resources.sessions, api.resources.store, Removal()) == 0
    assert (await admin.get(f"/v1/data-rows/{row}/content")).content == _PIXEL


async def test_who_names_an_object_that_is_gone_is_told_so(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    """An upload that was sent before the removal and is stored after it is in the same place."""
    gone, again = await _project(admin), await _project(admin)
    await _upload(admin, gone)
    await _purge(api, admin, gone)
    await _age_notes(api)
    assert await remove_unused(api.resources.sessions, api.resources.store, Removal()) == 1
    items = [{"global_key": "late", "uri": uri_of(content_key(workspace.id, sha256(_PIXEL).hexdigest()))}]
    assert (await admin.post(f"{again}/data-rows", json={"items": items})).status_code == 503


async def test_an_object_that_became_no_data_row_goes_too(
    api: Api, workspace: Workspace, admin: httpx2.AsyncClient
) -> None:
    project = await _project(admin)
    taken = [{"global_key": "one.png", "uri": "https://images.example.org/one.png"}]
    assert (await admin.post(f"{project}/data-rows", json={"items": taken})).json()["created"] == 1
    refused = await _sent(admin, project)
    assert refused.json()["results"][0]["error"]["code"] == "global_key_taken"
    await _age_notes(api)
    assert await remove_unused(api.resources.sessions, api.resources.store, Removal()) == 1
    assert not await api.resources.store.has(content_key(workspace.id, sha256(_PIXEL).hexdigest()))


async def test_files_that_no_upload_made_stay(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    """An operator may put files into a workspace's folder and import them by name."""
    own = await api.resources.store.put(f"{workspace.id}/archive/one.png", _PIXEL)
    gone = await _project(admin)
    items = [{"global_key": "one", "uri": own}]
    assert (await admin.post(f"{gone}/data-rows", json={"items": items})).json()["created"] == 1
    await _purge(api, admin, gone)
    await _age_notes(api)
    assert await remove_unused(api.resources.sessions, api.resources.store, Removal()) == 0
    assert await api.resources.store.has(f"{workspace.id}/archive/one.png")


async def test_a_round_has_an_end(api: Api, workspace: Workspace, admin: httpx2.AsyncClient) -> None:
    gone = await _project(admin)
    contents = [str(number).encode() for number in range(10)]
    for content in contents:
        await api.resources.store.put(content_key(workspace.id, sha256(content).hexdigest()), content)
    await _name(api, workspace, gone, contents)
    await _purge(api, admin, gone)
    small = Removal(page_size=2, pages=2)
    assert await remove_unused(api.resources.sessions, api.resources.store, small) == 0, "not before a day has passed"
    await _age_notes(api)
    rounds = [await remove_unused(api.resources.sessions, api.resources.store, small) for _ in range(4)]
    assert rounds == [4, 4, 2, 0]


async def _project(admin: httpx2.AsyncClient) -> str:
    made = await admin.post("/v1/projects", json={"name": "objects", "media_type": "image"})
    return f"/v1/projects/{made.json()['id']}"


async def _sent(admin: httpx2.AsyncClient, project: str) -> httpx2.Response:
    return await admin.post(f"{project}/data-rows/upload", files=[("file", ("one.png", _PIXEL, "image/png"))])


async def _upload(admin: httpx2.AsyncClient, project: str) -> str:
    answer = await _sent(admin, project)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return str(result["id"])


async def _name(api: Api, workspace: Workspace, project: str, contents: list[bytes]) -> None:
    """Data rows of the project with these objects."""
    uris = [uri_of(content_key(workspace.id, sha256(content).hexdigest())) for content in contents]
    async with api.resources.sessions.begin() as session:
        await session.execute(
            text("""
                WITH made AS (
                    INSERT INTO data_rows (id, workspace_id, project_id, global_key)
                    SELECT gen_random_uuid(), :workspace, :project, uri FROM unnest(CAST(:uris AS text[])) AS uri
                    RETURNING id, workspace_id, global_key
                )
                INSERT INTO data_row_contents (data_row_id, workspace_id, uri)
                SELECT id, workspace_id, global_key FROM made
            """),
            {"workspace": workspace.id, "project": project.rpartition("/")[2], "uris": uris},
        )


async def _purge(api: Api, admin: httpx2.AsyncClient, project: str) -> None:
    """Its rows go, as if it had been deleted long ago."""
    assert (await admin.delete(project)).is_success
    async with api.resources.sessions.begin() as session:
        statement = text("UPDATE projects SET deleted_at = now() - interval '31 days' WHERE id = :id")
        await session.execute(statement, {"id": project.rpartition("/")[2]})
    assert await purge_projects(api.resources.sessions, _KEEP) > 0


async def _age_notes(api: Api) -> None:
    async with api.resources.sessions.begin() as session:
        await session.execute(text("UPDATE unused_objects SET noted_at = noted_at - interval '25 hours'"))


async def _open_notes(api: Api) -> int:
    async with api.resources.sessions() as session:
        return int(await session.scalar(text("SELECT count(*) FROM unused_objects WHERE removed_at IS NULL")) or 0)


def _environment(settings: ApiSettings) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "OBJECT_STORE_URL": settings.object_store_url,
        "OPERATIONS_METRICS_PORT": str(port),
        # A round removes 2,000 at most: one that is killed before the next has not removed all.
        "EVENTS_TRIM_SECONDS": "1",
    }
