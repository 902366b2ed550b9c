"""Uploads through the front door, and the worker that imports them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from services.api.access.principal import Role
from services.api.worker import OPERATIONS
from tests.integration.api.stage import Stage
from tests.support.operations import operating

NDJSON = "application/x-ndjson"


def lines(items: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def box(key: str, name: str, **more: Any) -> dict[str, Any]:
    """A line as Labelbox writes it."""
    return {
        "dataRow": {"globalKey": key},
        "name": name,
        "bbox": {"left": 1, "top": 2, "width": 30, "height": 40},
        **more,
    }


async def upload(stage: Stage, what: str, content: bytes, role: Role = Role.EDITOR, **query: Any) -> httpx2.Response:
    client = stage.api.as_(stage.workspace, role)
    return await client.post(
        f"/v1/projects/{stage.project}/{what}/import",
        params={"format": "labelbox", **query},
        content=content,
        headers={"Content-Type": NDJSON},
    )


async def operation(stage: Stage, operation_id: str) -> dict[str, Any]:
    """As it ended, in the hands of a worker that runs until then."""
    resources = stage.api.resources

    async with operating(resources.sessions, resources.signals, OPERATIONS, resources.store), asyncio.timeout(60):
        while True:
            found: dict[str, Any] = await stage.get(f"/v1/operations/{operation_id}")
            if found["state"] in {"succeeded", "failed", "cancelled"}:
                return found
            await asyncio.sleep(0.05)


async def imported(stage: Stage, what: str, content: bytes, **query: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the submit answered, and the operation as it ended."""
    answer = await upload(stage, what, content, **query)
    assert answer.status_code == 202, answer.text
    submitted: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/operations/{submitted['operation_id']}"
    return submitted, await operation(stage, submitted["operation_id"])


async def said(stage: Stage, operation_id: str) -> dict[int, dict[str, Any]]:
    """What became of every line, by its number."""
    answer = await stage.client.get(f"/v1/projects/{stage.project}/imports/{operation_id}/lines")
    assert answer.status_code == 200, answer.text
    found = [json.loads(line) for line in answer.text.splitlines()]
    by_line = {one["line"]: one for one in found}
    assert len(by_line) == len(found)
    return by_line
