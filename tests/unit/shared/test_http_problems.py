"""What a web framework refuses by itself is a problem too, also where there is only health to ask for."""

from typing import cast

import httpx2
import pytest

from shared.database.engine import Sessions
from shared.lifecycle import create_health_app


@pytest.mark.parametrize(("method", "path", "code"), [("GET", "/nonsense", 404), ("POST", "/livez", 405)])
async def test_a_worker_refuses_with_a_problem(method: str, path: str, code: int) -> None:
    app = create_health_app("test", cast(Sessions, None), lambda: False)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://worker") as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (code, "application/problem+json")
    assert answer.json()["status"] == code
