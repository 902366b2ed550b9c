"""What the document promises: it is the one of this code, and clients can be generated from it."""

import json
from typing import Any

from services.api.openapi import PATH, openapi_document

DOCUMENT: dict[str, Any] = json.loads(openapi_document())
CALLS = [(method, path, call) for path, calls in DOCUMENT["paths"].items() for method, call in calls.items()]


def test_document_in_the_repository_is_that_of_the_code() -> None:
    assert PATH.read_text(encoding="utf-8") == openapi_document(), "run `make openapi`"


def test_operation_ids_are_names_and_unique() -> None:
    ids = [call["operationId"] for _, _, call in CALLS]
    assert len(set(ids)) == len(ids)
    assert all(one.isidentifier() and one.islower() for one in ids)


def test_every_call_says_what_it_does_and_where_it_belongs() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for _, _, call in CALLS:
        assert call["description"], call["operationId"]
        assert set(call["tags"]) <= tags, call["operationId"]


def test_every_call_of_v1_needs_a_key_and_declares_its_problems() -> None:
    for method, path, call in CALLS:
        if not path.startswith("/v1/"):
            continue
        # Label Studio knows no bearer tokens: it sends the key as a password.
        ways = ["label_studio", "api_key"] if "/label-studio/" in path else ["api_key"]
        assert call["security"] == [{way: []} for way in ways], call["operationId"]
        errors = {status: answer for status, answer in call["responses"].items() if int(status) >= 400}
        assert {"401", "403", "422", "503"} <= set(errors), call["operationId"]
        assert "{" not in path or "404" in errors, call["operationId"]
        assert method != "patch" or "project" not in path or "412" in errors
        for answer in errors.values():
            assert set(answer["content"]) == {"application/problem+json"}, call["operationId"]


def test_every_list_is_paged() -> None:
    for _, _, call in CALLS:
        if call["operationId"].startswith("list_") and call["operationId"] != "list_project_events":
            names = {parameter["name"] for parameter in call["parameters"]}
            assert {"page_size", "page_token"} <= names, call["operationId"]


def test_every_post_that_creates_documents_its_idempotency_key() -> None:
    for method, _, call in CALLS:
        if method == "post" and "201" in call["responses"] and call["operationId"] != "create_websocket_ticket":
            names = {parameter["name"] for parameter in call.get("parameters", [])}
            assert "Idempotency-Key" in names, call["operationId"]
