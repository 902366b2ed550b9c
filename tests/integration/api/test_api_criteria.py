"""Open-ended models: their classes are the criteria a user writes for each run."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from shared.database.tables import ModelRunRow
from shared.run_configuration import RunConfiguration
from tests.support.api import Api, Workspace
from tests.support.cards import card
from tests.support.runs import add_model

pytestmark = pytest.mark.asyncio

_TEXT: dict[str, Any] = {
    "media_type": "text",
    "preprocessing": {"kind": "tokenized"},
    "inputs": [{"name": name, "datatype": "INT64", "shape": [-1]} for name in ("input_ids", "attention_mask")],
    "task": "text_classification",
}
_OPEN = card("own-criteria", "classification", (), decoder={"name": "embeddings"}, **_TEXT)
_CLOSED = card("own-topics", "classification", ("sports", "politics"), decoder={"name": "classification"}, **_TEXT)
_ONTOLOGY = {
    "classifications": [
        {"type": "radio", "name": "topic", "options": [{"name": "sports"}, {"name": "politics"}]},
        {
            "type": "radio",
            "name": "urgent",
            "instructions": "Must somebody act at once?",
            "options": [{"name": "yes"}, {"name": "no"}],
        },
        {"type": "radio", "name": "complaint", "options": [{"name": "Yes"}]},
    ]
}


class Project:
    """A project of texts, an open-ended model and one with classes."""

    def __init__(self, api: Api, client: httpx2.AsyncClient, project: str) -> None:
        self.api, self.client, self.project = api, client, project
        self.open = self.closed = ""
        self.options: dict[str, dict[str, str]] = {}

    async def post(self, criteria: Any, *entries: dict[str, Any], model: str = "") -> httpx2.Response:
        body = {"model_id": model or self.open, "criteria": criteria, "alignment": {"entries": list(entries)}}
        return await self.client.post(f"/v1/projects/{self.project}/model-runs", json=body)

    def entry(self, model_class: str, option: str) -> dict[str, Any]:
        return {"model_class": model_class, "target": self.options[option]}


@pytest.fixture
async def project(api: Api, workspace: Workspace) -> Project:
    client = api.as_(workspace)
    made = await client.post("/v1/projects", json={"name": "texts", "media_type": "text", "ontology": _ONTOLOGY})
    project = Project(api, client, made.json()["id"])
    items = [{"global_key": "a", "text": "The match was lost."}]
    await client.post(f"/v1/projects/{project.project}/data-rows", json={"items": items})
    tree = (await client.get(f"/v1/projects/{project.project}/ontology")).json()
    project.options = {
        f"{feature['name']}/{option['name']}": {"feature_schema_id": feature["id"], "option_id": option["id"]}
        for feature in tree["classifications"]
        for option in feature["options"]
    }
    sessions = api.resources.sessions
    project.open = str(await add_model(sessions, _OPEN, workspace_id=workspace.id))
    project.closed = str(await add_model(sessions, _CLOSED, workspace_id=workspace.id))
    return project


def _pointers(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


async def test_a_run_keeps_its_criteria(project: Project) -> None:
    criteria = {"Sports": "This text is about sports.", "politics, too": "This text is about politics."}
    answer = await project.post(
        criteria, project.entry("Sports", "topic/sports"), project.entry("politics, too", "topic/politics")
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["configuration"]["criteria"] == criteria
    async with project.api.resources.sessions() as session:
        row = await session.get_one(ModelRunRow, UUID(answer.json()["id"]))
    assert RunConfiguration.model_validate(row.configuration).criteria == criteria


async def test_criteria_are_needed(project: Project) -> None:
    answer = await project.post({}, project.entry("sports", "topic/sports"))
    assert _pointers(answer) == {
        "/criteria": "criteria_missing",
        "/alignment/entries/0/model_class": "unknown_model_class",
    }


async def test_all_that_is_wrong_with_criteria_is_listed(project: Project) -> None:
    criteria = {"sports": "About sports.", "SPORTS": "About sports.", "a/b~c": " \t", "rest": "About the rest."}
    answer = await project.post(criteria, project.entry("Rest", "topic/sports"))
    assert _pointers(answer) == {
        "/criteria/SPORTS": "duplicate_criterion",
        "/criteria/a~1b~0c": "blank_criterion",
        "/alignment/entries/0/model_class": "unknown_model_class",
    }


@pytest.mark.parametrize("criteria", [{"a": ""}, {"": "x"}, {"a": "x" * 2001}, {"a": None}, {"a": 1}, ["a"], "a"])
async def test_criteria_have_a_form(project: Project, criteria: Any) -> None:
    wrong = _pointers(await project.post(criteria, project.entry("a", "topic/sports")))
    assert all(pointer.startswith("/criteria") for pointer in wrong)


async def test_a_model_with_classes_takes_no_criteria(project: Project) -> None:
    answer = await project.post(
        {"sports": "About sports."}, project.entry("sports", "topic/sports"), model=project.closed
    )
    assert _pointers(answer) == {"/criteria": "criteria_not_supported"}


async def test_suggested_criteria_can_be_submitted_as_they_are(project: Project) -> None:
    found = (await project.client.get(f"/v1/projects/{project.project}/models/{project.open}/alignment")).json()
    assert found["criteria"] == {
        "sports": "This text is about sports.",
        "politics": "This text is about politics.",
        "urgent: yes": "Must somebody act at once? yes",
        "no": "Must somebody act at once? no",
        "complaint: Yes": "This text is about Yes.",
    }
    assert {(e["model_class"], e["option_name"], e["reason"]) for e in found["entries"]} == {
        ("sports", "sports", "own_words"),
        ("politics", "politics", "own_words"),
        ("urgent: yes", "yes", "own_words"),
        ("no", "no", "own_words"),
        ("complaint: Yes", "Yes", "own_words"),
    }
    assert not found["unmapped_model_classes"]
    assert (await project.post(found["criteria"], *found["entries"])).status_code == 202
    closed = (await project.client.get(f"/v1/projects/{project.project}/models/{project.closed}/alignment")).json()
    assert closed["criteria"] == {}


async def test_an_open_ended_model_covers_everything_but_asks_for_words(project: Project) -> None:
    ranked = (await project.client.get(f"/v1/projects/{project.project}/models")).json()["items"]
    fits = {model["id"]: model["compatibility"] for model in ranked}
    assert (fits[project.open]["class_coverage"], fits[project.open]["blockers"]) == (1.0, [])
    assert "needs_criteria" in {reason["code"] for reason in fits[project.open]["reasons"]}
    assert "needs_criteria" not in {reason["code"] for reason in fits[project.closed]["reasons"]}
    assert 0.2 < fits[project.open]["score"] < 0.92, "exact names are less to set up"


async def test_a_preview_takes_the_suggested_criteria_or_ones_of_your_own(project: Project) -> None:
    path = f"/v1/projects/{project.project}/previews"
    answer = await project.client.post(path, json={"model_id": project.open})
    assert answer.status_code == 202, answer.text
    suggested = await project.client.get(f"/v1/projects/{project.project}/models/{project.open}/alignment")
    assert answer.json()["criteria"] == suggested.json()["criteria"]
    assert {entry["model_class"] for entry in answer.json()["alignment"]} == set(answer.json()["criteria"])

    own = {"sports": "A ball is played.", "weather": "It rains."}
    answer = await project.client.post(path, json={"model_id": project.open, "criteria": own})
    assert answer.json()["criteria"] == own
    assert [entry["model_class"] for entry in answer.json()["alignment"]] == ["sports"]
    wanted = {"preview_id": answer.json()["id"], "alignment_version": 1}
    run = await project.client.post(f"/v1/projects/{project.project}/model-runs", json=wanted)
    assert run.json()["configuration"]["criteria"] == own
    refused = await project.client.post(path, json={"model_id": project.open, "criteria": {"weather": "It rains."}})
    assert _pointers(refused) == {"/alignment": "nothing_suggested"}
    refused = await project.client.post(path, json={"model_id": project.closed, "criteria": own})
    assert _pointers(refused) == {"/criteria": "criteria_not_supported"}
