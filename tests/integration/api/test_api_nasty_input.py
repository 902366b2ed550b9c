"""No client input gives a 5xx: every call of the OpenAPI document, with one thing wrong at a time."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.integration.api.calls import Call, body_of, calls, ids_of

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
    for body in _spoiled(body_of(call).get("json")):
        sent = {**headers, "Content-Type": "application/json"}
        answer = await admin.request(call.method, call.url(ids), content=json.dumps(body), headers=sent)
        assert answer.status_code < 500, f"{str(body)[:300]}: {answer.text}"


def _spoiled(body: Any) -> Iterator[Any]:
    """The body with each of its parts replaced by each nasty value, and with each field missing."""
    if body is None:
        return
    yield from NASTY
    if isinstance(body, dict):
        for name, value in body.items():
            yield {other: kept for other, kept in body.items() if other != name}
            yield from ({**body, name: spoiled} for spoiled in _spoiled(value))
    elif isinstance(body, list) and body:
        yield from ([spoiled, *body[1:]] for spoiled in _spoiled(body[0]))
        yield body * 50
