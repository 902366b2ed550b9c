from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from shared.contracts.http import PROBLEM_TYPE_BASE, Problem
from tests.integration.api.calls import Call, body_of, calls, ids_of
from tests.support.api import Api, Workspace, api_settings, running_api

pytestmark = pytest.mark.asyncio


def is_problem(answer: httpx2.Response, status: int, code: str) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate(answer.json())
    assert (problem.status, problem.code, problem.type) == (status, code, PROBLEM_TYPE_BASE + code)
    assert problem.request_id == answer.headers["x-request-id"]
    return problem


async def test_every_error_is_a_problem(api: Api, admin: httpx2.AsyncClient) -> None:
    json_type = {"Content-Type": "application/json"}
    is_problem(await admin.get("/v1/nothing"), 404, "not_found")
    not_allowed = await admin.delete("/v1/projects")
    is_problem(not_allowed, 405, "method_not_allowed")
    assert not_allowed.headers["allow"]
    is_problem(await admin.get("/v1/projects/no-id"), 404, "not_found")
    is_problem(await admin.post("/v1/projects", content=b"{", headers=json_type), 400, "malformed_json")
    is_problem(await admin.post("/v1/projects", content=b'{"a": "\xff"}', headers=json_type), 400, "malformed_request")
    is_problem(await admin.post("/v1/projects", content=b"[" * 100_000, headers=json_type), 400, "malformed_request")
    is_problem(await admin.post("/v1/projects", content=b"a=b"), 415, "unsupported_media_type")
    is_problem(await admin.post("/v1/projects", content=b"", headers=json_type), 422, "invalid_request")
    is_problem(await admin.get("/v1/projects?page_token=x"), 400, "invalid_page_token")
    is_problem(await admin.get("/v1/projects?page_token=%00"), 422, "unsupported_character")
    is_problem(await api.client.get("/v1/projects"), 401, "unauthenticated")


async def test_body_over_the_limit_is_413_declared_or_not(admin: httpx2.AsyncClient) -> None:
    body = b'{"name": "' + b"x" * (10 * 1024 * 1024) + b'"}'

    async def chunks() -> Any:
        for start in range(0, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]

    for content in (body, chunks()):
        answer = await admin.post("/v1/projects", content=content, headers={"Content-Type": "application/json"})
        is_problem(answer, 413, "too_large")
    project = (await admin.post("/v1/projects", json={"name": "p", "media_type": "text"})).headers["location"]
    answer = await admin.post(f"{project}/data-rows", content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, 413, "too_large")


async def test_pointers_lead_to_the_wrong_fields(admin: httpx2.AsyncClient) -> None:
    body = {"media_type": "video", "ontology": {"tools": [{"type": "bounding_box", "name": 7, "x/y": 1}]}}
    problem = is_problem(await admin.post("/v1/projects", json=body), 422, "invalid_request")
    assert {(error.pointer, error.code) for error in problem.errors} == {
        ("/name", "missing"),
        ("/media_type", "literal_error"),
        ("/ontology/tools/0/name", "string_type"),
        ("/ontology/tools/0/x~1y", "extra_forbidden"),
    }


async def test_request_id_is_taken_over_if_it_is_harmless(admin: httpx2.AsyncClient) -> None:
    for given, kept in (("abc-1", True), ("a b", False), ("x" * 200, False)):
        answer = await admin.get("/v1/nothing", headers={"X-Request-ID": given})
        assert (answer.headers["x-request-id"] == given) is kept


async def test_unexpected_failure_says_nothing_of_itself(
    admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("services.api.projects.queries.list_projects", fail)
    answer = await admin.get("/v1/projects")
    is_problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.text


async def test_value_no_schema_caught_is_no_fault_of_ours(
    admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.paging.Paging.fetch", 2**70)
    is_problem(await admin.get("/v1/projects"), 422, "invalid_value")


async def test_away_database_is_503_and_away_redis_is_nothing(
    api_servers: tuple[str, str], workspace: Workspace, tmp_path: Path
) -> None:
    database_url, redis_url = api_servers
    key = {"Authorization": "Bearer " + next(iter(workspace.keys.values()))}
    nowhere = "postgresql://postgres@127.0.0.1:1/x"
    async with running_api(api_settings(nowhere, redis_url, tmp_path)) as api:
        answer = await api.client.get("/v1/projects", headers=key)
        is_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]
        ready = await api.client.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["postgresql"]["ok"]) == (503, False)
        assert (await api.client.get("/livez")).json() == {"status": "alive"}
    async with running_api(api_settings(database_url, "redis://127.0.0.1:1/0", tmp_path)) as api:
        ready = await api.client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert ready.json()["parts"]["redis"]["ok"] is False
        admin = {"Authorization": f"Bearer {list(workspace.keys.values())[-1]}"}
        made = await api.client.post("/v1/projects", json={"name": "p", "media_type": "image"}, headers=admin)
        assert made.status_code == 201


async def test_browsers_of_allowed_origins_may_call(api_servers: tuple[str, str], tmp_path: Path) -> None:
    ours, theirs = "https://label.example.org", "https://evil.example.org"
    settings = api_settings(*api_servers, tmp_path).model_copy(update={"allowed_origins": (ours,)})
    async with running_api(settings) as api:
        for origin, allowed in ((ours, ours), (theirs, None)):
            asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
            preflight = await api.client.options("/v1/projects", headers=asked)
            assert preflight.headers.get("access-control-allow-origin") == allowed
            answer = await api.client.get("/v1/projects", headers={"Origin": origin})
            assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (401, allowed)


async def test_metrics_count_by_template(admin: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await admin.get(f"/v1/projects/{uuid4()}")
    text = (await admin.get("/metrics")).text
    line = 'prelabel_api_requests_total{method="GET",route="/v1/projects/{project_id}",status="404"} 3.0'
    assert line in text


@pytest.mark.parametrize("call", [call for call in calls() if "{" in call.path], ids=lambda call: call.name)
async def test_foreign_and_unknown_ids_are_404_on_every_route(
    api: Api, elsewhere: Workspace, admin: httpx2.AsyncClient, call: Call
) -> None:
    theirs = await ids_of(api.as_(elsewhere))
    headers = {"If-Match": '"1"', "Content-Type": "application/json"}
    for ids in (theirs, {name: str(uuid4()) for name in theirs}):
        answer = await admin.request(call.method, call.url(ids), headers=headers, **body_of(call))
        is_problem(answer, 404, "not_found")
