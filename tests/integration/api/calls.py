"""Every call of the api, out of its OpenAPI document, for tests that hold for all of them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

import httpx2

from services.api.openapi import openapi_document


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    operation: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.operation["operationId"])

    @property
    def query(self) -> list[str]:
        return [one["name"] for one in self.operation.get("parameters", []) if one["in"] == "query"]

    def url(self, ids: Mapping[str, str]) -> str:
        """With these ids in its path, and made up ones for the rest."""
        return re.sub(r"{(\w+)}", lambda found: ids.get(found[1], str(uuid4())), self.path)


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(openapi_document())
    return found


def calls() -> list[Call]:
    """Those of /v1."""
    found = document()["paths"].items()
    return [
        Call(method, path, operation)
        for path, operations in found
        for method, operation in operations.items()
        if path.startswith("/v1/")
    ]


def body_of(call: Call) -> dict[str, Any]:
    """A body as its own documentation shows it, as httpx2 takes it."""
    content = call.operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        return {"files": {"file": ("a.jpg", b"x")}}
    if "application/json" not in content:
        return {}
    schema = content["application/json"]["schema"]
    if schema.get("format") == "binary":
        return {"content": b"{}", "params": _params_of(call)}
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert schema.get("examples"), f"{call.name} has a body without an example"
    return {"json": schema["examples"][0]}


def _params_of(call: Call) -> dict[str, Any]:
    asked = (one for one in call.operation["parameters"] if one["in"] == "query" and one["required"])
    return {one["name"]: one["schema"]["examples"][0] for one in asked}


async def ids_of(client: httpx2.AsyncClient) -> dict[str, str]:
    """Of everything a workspace may have, by the name paths give it."""
    project = (await client.post("/v1/projects", json={"name": "p", "media_type": "text"})).json()["id"]
    item = {"global_key": "a", "text": "x"}
    row = (await client.post(f"/v1/projects/{project}/data-rows", json={"items": [item]})).json()["results"][0]["id"]
    batch = (await client.post(f"/v1/projects/{project}/batches", json={"name": "b", "all": True})).json()["id"]
    key = (await client.post("/v1/api-keys", json={"name": "k"})).json()
    member = (await client.post("/v1/members", json={"name": "m", "role": "admin"})).json()
    wanted = {"url": "https://hooks.example.org/", "event_types": ["model_run.completed"]}
    webhook = (await client.post("/v1/webhooks", json=wanted)).json()["id"]
    delivery = (await client.post(f"/v1/webhooks/{webhook}/test")).json()["id"]
    return {
        "webhook_id": webhook,
        "delivery_id": delivery,
        "project_id": project,
        "data_row_id": row,
        "batch_id": batch,
        "api_key_id": key["id"],
        "member_id": member["id"],
    }
