"""More than the api takes: refused at once, with a problem that says when to come again; then all is as before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import text

from services.api.access.principal import Role
from tests.support.api import Api, api_settings, running_api


@asynccontextmanager
async def tight(servers: tuple[str, str], folder: Path, **limits: Any) -> AsyncIterator[Api]:
    settings = api_settings(*servers, folder / "objects").model_copy(update=limits)
    async with running_api(settings) as api:
        yield api


@asynccontextmanager
async def standing_still(servers: tuple[str, str], folder: Path) -> AsyncIterator[None]:
    """Nobody can read projects meanwhile."""
    async with tight(servers, folder) as other, other.resources.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE projects IN ACCESS EXCLUSIVE MODE"))
        yield


async def test_requests_beyond_the_limit_are_refused_and_the_others_answered(
    api_servers: tuple[str, str], tmp_path: Path
) -> None:
    page = "https://label.example.org"
    limits: dict[str, Any] = {"api_max_in_flight": 4, "api_max_in_flight_per_key": 3, "allowed_origins": (page,)}
    async with tight(api_servers, tmp_path, **limits) as api:
        workspace = await api.workspace()
        admin, viewer = api.as_(workspace), api.as_(workspace, Role.VIEWER)
        async with standing_still(api_servers, tmp_path):
            waiting = [asyncio.create_task(admin.get("/v1/projects")) for _ in range(3)]
            await _until_in_flight(api, 3)
            refused = await admin.get("/v1/projects", headers={"Origin": page})
            assert _told(refused) == (429, "too_many_in_flight")
            assert refused.headers["Access-Control-Allow-Origin"] == page, "a page may read why"
            waiting.append(asyncio.create_task(viewer.get("/v1/projects")))
            await _until_in_flight(api, 4)
            assert _told(await viewer.get("/v1/models")) == (503, "overloaded")
            assert (await viewer.get("/livez")).status_code == 200
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 4
        assert (await viewer.get("/v1/models")).status_code == 200
        assert await _in_flight(api) == 0


async def test_a_turn_is_waited_for_so_long_and_no_longer(api_servers: tuple[str, str], tmp_path: Path) -> None:
    async with tight(api_servers, tmp_path, database_pool_size=1, database_pool_wait_seconds=0.2) as api:
        admin = api.as_(await api.workspace())
        async with standing_still(api_servers, tmp_path):
            first = asyncio.create_task(admin.get("/v1/projects"))
            async with asyncio.timeout(20):
                while api.resources.engine.pool.checkedout() < 1:  # type: ignore[attr-defined]
                    await asyncio.sleep(0.01)
            others = await asyncio.gather(*[admin.get("/v1/models") for _ in range(3)])
            assert {_told(other) for other in others} == {(503, "overloaded")}
        assert (await first).status_code == 200
        assert (await admin.get("/v1/models")).status_code == 200


def _told(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    return answer.status_code, problem["code"]


async def _until_in_flight(api: Api, count: int) -> None:
    async with asyncio.timeout(20):
        while await _in_flight(api) < count:
            await asyncio.sleep(0.01)


async def _in_flight(api: Api) -> int:
    value = api.app.state.metrics.registry.get_sample_value("prelabel_api_in_flight")
    return int(value)
