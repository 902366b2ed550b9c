"""No client input gives a 5xx: every call of the OpenAPI document, with one thing wrong at a time."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.integration.api.calls import Call, body_of, calls, ids_of
from tests.integration.api.stage import make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio

NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**31,
    2**63,
    10**30,
    0.5,
    -1e300,
    "",
    " ",
    "\x7f",
    "\u2028\U0001f600",
    "x" * 20_000,
    "00000000-0000-0000-0000-000000000000",
    [],
    [None],
    [[[[]]]],
    {},
    {"": {}},
)
NASTY_QUERY = ("", "-1", "0", "1e9", str(2**31), str(2**63), str(2**70), "x", "\u2028", "x" * 5_000, "%", "null", "a,b")


@pytest.mark.parametrize("call", calls(), ids=lambda call: call.name)
async def test_wrong_input_is_the_clients_fault(admin: httpx2.AsyncClient, call: Call) -> None:
    ids = await ids_of(admin)
    headers = {"If-Match": '"1"'}
    for parameter in call.query:
        for value in NASTY_QUERY:
            answer = await admin.request(call.method, call.url(ids), params={parameter: value}, headers=headers)
            assert answer.status_code < 500, f"{parameter}={value[:50]}: {answer.text}"
    for body in spoiled(body_of(call).get("json")):
        sent = {**headers, "Content-Type": "application/json"}
        answer = await admin.request(call.method, call.url(ids), content=json.dumps(body), headers=sent)
        assert answer.status_code < 500, f"{str(body)[:300]}: {answer.text}"


def spoiled(body: Any) -> Iterator[Any]:
    """The body with each of its parts replaced by each nasty value, and with each field missing."""
    if body is None:
        return
    yield from NASTY
    if isinstance(body, dict):
        for name, value in body.items():
            yield {other: kept for other, kept in body.items() if other != name}
            yield from ({**body, name: wrong} for wrong in spoiled(value))
    elif isinstance(body, list) and body:
        yield from ([wrong, *body[1:]] for wrong in spoiled(body[0]))
        yield body * 50


async def test_one_thing_wrong_in_metadata_is_the_clients_fault(admin: httpx2.AsyncClient) -> None:
    project = (await admin.post("/v1/projects", json={"name": "p", "media_type": "text"})).json()["id"]
    item = {"global_key": "a", "text": "x", "metadata": {"a": [1.5, {"b": None}], "c": "text"}}
    for body in spoiled({"items": [item]}):
        answer = await admin.post(f"/v1/projects/{project}/data-rows", json=body)
        assert answer.status_code < 500, f"{str(body)[:300]}: {answer.text}"


async def test_one_thing_wrong_in_a_run_or_a_decision_is_the_clients_fault(api: Api, workspace: Workspace) -> None:
    """The examples of the document name a model that is not there; these bodies are right but for what is spoiled."""
    stage = await make_stage(api, workspace)
    answers = {
        "feature_schema_id": stage.features["Person/pose"],
        "annotation": {"kind": "radio", "option_id": stage.features["Person/pose/sits"]},
    }
    when = {
        "confidence": {"minimum": 0.5, "maximum": 0.9},
        "area": {"minimum": 1.0, "maximum": 2.0},
        "attribute": {"stance": 1},
    }
    person = stage.entry("person", "Person", answers=[answers], threshold=0.4, when=when, min_area=1.0, max_count=2)
    run = stage.body(person, threshold=0.5, limit=3, priority=2, only_unlabeled=False, name="n")
    assert (await stage.post(run)).status_code == 202
    for body in spoiled(run):
        answer = await stage.client.post(f"/v1/projects/{stage.project}/model-runs", json=body)
        assert answer.status_code < 500, f"{str(body)[:300]}: {answer.text}"
    run_id = await stage.finished({0: [("person", 0.9)]})
    change = {"alignment": run["alignment"], "threshold": 0.4, "thresholds": {"person": 0.5}}
    etag = '"1"'
    for body in spoiled(change):
        answer = await stage.client.patch(f"/v1/model-runs/{run_id}/alignment", json=body, headers={"If-Match": etag})
        assert answer.status_code in {200, 400, 422}, f"{str(body)[:300]}: {answer.text}"
        etag = answer.headers.get("ETag", etag)
    run_id = await stage.finished({0: [("person", 0.9)]})
    (found,) = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    decisions = {"decisions": [{"pre_label_id": found["id"], "action": "reject"}]}
    path = f"/v1/data-rows/{stage.rows[0]}/decisions"
    for body in (*spoiled(decisions), decisions):
        answer = await stage.client.post(path, json=body, headers={"If-Match": '"0"'})
        assert answer.status_code == 201 if body == decisions else 400 <= answer.status_code < 500, answer.text
