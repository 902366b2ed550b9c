"""Exports of Prelabel's own format, comparable, and decisions taken back."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson

from tests.integration.api.stage import Stage

_OF_PROJECT = {"project", "ontology", "removed_features"}


async def exported(stage: Stage) -> bytes:
    path = f"/v1/projects/{stage.project}/export"
    answer = await stage.client.get(path, params={"format": "prelabel", "empty_rows": "true"})
    assert answer.status_code == 200, answer.text
    return answer.content


def plain(content: bytes) -> list[Any]:
    """Without ids of the project, its features and its data rows, and without the notes of how labels came in."""
    header, *items = [orjson.loads(line) for line in content.splitlines()]
    names = dict(_names([*header["ontology"]["tools"], *header["ontology"]["classifications"]]))
    *rows, end = items
    for item in rows:
        del item["data_row"]["id"]
        item["labels"].sort(key=lambda label: label["id"])
    rows.sort(key=lambda item: item["data_row"]["global_key"])
    return [{name: value for name, value in header.items() if name not in _OF_PROJECT}, *_renamed(rows, names), end]


def _names(nodes: list[Any], under: str = "") -> Iterator[tuple[str, str]]:
    for node in nodes:
        name = f"{under}/{node['name']}"
        yield node["id"], name
        yield from _names([*node.get("options", ()), *node.get("classifications", ())], name)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _renamed(child, names) for name, child in value.items() if name != "imported"}
    if isinstance(value, list):
        return [_renamed(child, names) for child in value]
    return names.get(value, value) if isinstance(value, str) else value


async def undoing(stage: Stage, place: int) -> AsyncIterator[dict[str, Any]]:
    """The review of a data row after each undo of the last decision that stands, until there is none."""
    path = f"/v1/data-rows/{stage.rows[place]}"
    while True:
        review = await stage.get(f"{path}/review")
        stands = [one for one in review["decisions"] if not one["undone"] and one["action"] != "undo"]
        if not stands:
            return
        answer = await stage.client.post(
            f"{path}/decisions",
            json={"decisions": [{"action": "undo", "decision_id": stands[-1]["id"]}]},
            headers={"If-Match": f'"{review["revision"]}"'},
        )
        assert answer.status_code == 201, answer.text
        yield answer.json()
