"""A project ready for a run: ontology, data rows, a detector and a classifier of its own workspace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2

from services.api.access.principal import Role
from tests.support.api import Api, Workspace
from tests.support.cards import card
from tests.support.runs import FakeWorker, Said, add_model

DETECTOR = card(
    "own-detector", "bounding_box", ("person", "cat", "dog"), default_threshold=0.4, attributes=("text", "stance")
)
CLASSIFIER = card("own-classifier", "classification", ("indoors", "outdoor", "cat"), default_threshold=0.3)
ONTOLOGY = {
    "tools": [
        {
            "type": "bounding_box",
            "name": "Person",
            "classifications": [
                {
                    "type": "radio",
                    "name": "pose",
                    "options": [
                        {"name": "sits"},
                        {"name": "stands", "classifications": [{"type": "free_text", "name": "number"}]},
                    ],
                },
            ],
        },
        {"type": "polygon", "name": "Cats"},
        {"type": "mask", "name": "Sky"},
    ],
    "classifications": [
        {"type": "radio", "name": "scene", "options": [{"name": "Indoors"}, {"name": "Outdoors"}]},
        {"type": "checklist", "name": "seen", "options": [{"name": "cat"}, {"name": "dog"}]},
        {"type": "free_text", "name": "remarks"},
    ],
}


@dataclass(frozen=True, slots=True)
class Stage:
    api: Api
    client: httpx2.AsyncClient
    workspace: Workspace
    project: str
    features: Mapping[str, str]
    rows: Sequence[UUID]
    detector: str
    classifier: str

    @property
    def worker(self) -> FakeWorker:
        return FakeWorker(self.api.resources.sessions, self.api.resources.signals)

    def entry(self, model_class: str, feature: str, option: str | None = None, **more: Any) -> dict[str, Any]:
        target = {"feature_schema_id": self.features[feature]}
        if option:
            target["option_id"] = self.features[f"{feature}/{option}"]
        return {"model_class": model_class, "target": target, **more}

    def body(self, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
        chosen = entries or (self.entry("person", "Person"), self.entry("cat", "Cats"))
        return {"model_id": self.detector, "alignment": {"entries": list(chosen)}, **more}

    async def post(self, body: dict[str, Any], role: Role = Role.EDITOR) -> httpx2.Response:
        client = self.api.as_(self.workspace, role)
        return await client.post(f"/v1/projects/{self.project}/model-runs", json=body)

    async def submit(self, *entries: dict[str, Any], **more: Any) -> UUID:
        answer = await self.post(self.body(*entries, **more))
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["id"])

    async def finished(self, said: Mapping[int, Sequence[Said]], *entries: dict[str, Any], **more: Any) -> UUID:
        """A completed run; `said` by the place of the data row."""
        run_id = await self.submit(*entries, **more)
        await self.worker.store(run_id, {row: said.get(place, ()) for place, row in enumerate(self.rows)})
        await self.worker.end(run_id)
        return run_id

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def pages(self, path: str, **query: Any) -> list[Any]:
        """All items, page by page."""
        found, token = [], None
        while True:
            page = await self.get(path, **query, **({"page_token": token} if token else {}))
            found += page["items"]
            token = page["next_page_token"]
            if token is None:
                return found


async def make_stage(api: Api, workspace: Workspace, rows: int = 5) -> Stage:
    client = api.as_(workspace)
    body = {"name": "stage", "media_type": "image", "ontology": ONTOLOGY}
    project = (await client.post("/v1/projects", json=body)).json()["id"]
    items = [{"global_key": f"{n:03}.jpg", "uri": f"https://images.example.org/{n:03}.jpg"} for n in range(rows)]
    if items:
        imported = await client.post(f"/v1/projects/{project}/data-rows", json={"items": items})
        assert imported.json()["created"] == rows, imported.text
    listed = (await client.get(f"/v1/projects/{project}/data-rows", params={"page_size": 500})).json()["items"]
    tree = (await client.get(f"/v1/projects/{project}/ontology")).json()
    sessions = api.resources.sessions
    return Stage(
        api=api,
        client=client,
        workspace=workspace,
        project=project,
        features=_ids(tree["tools"] + tree["classifications"]),
        rows=[UUID(row["id"]) for row in listed],
        detector=str(await add_model(sessions, DETECTOR, workspace_id=workspace.id)),
        classifier=str(await add_model(sessions, CLASSIFIER, workspace_id=workspace.id)),
    )


def _ids(nodes: Sequence[Mapping[str, Any]], under: str = "") -> dict[str, str]:
    """By name, with the names above it: `scene/Indoors`."""
    found: dict[str, str] = {}
    for node in nodes:
        name = f"{under}{node['name']}"
        found[name] = node["id"]
        found |= _ids([*node.get("options", ()), *node.get("classifications", ())], f"{name}/")
    return found
