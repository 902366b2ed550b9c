from uuid import uuid4

import httpx2
import pytest

from services.api.access.principal import Role
from tests.integration.api.stage import CLASSIFIER, DETECTOR, make_stage
from tests.support.api import Api, Workspace
from tests.support.cards import built, card
from tests.support.runs import add_model

pytestmark = pytest.mark.asyncio


async def test_own_and_built_in_models_are_seen_and_those_of_others_are_not(
    api: Api, workspace: Workspace, elsewhere: Workspace, admin: httpx2.AsyncClient
) -> None:
    stage = await make_stage(api, workspace)
    common = str(await add_model(api.resources.sessions, card("common", "bounding_box", ("person",))))
    mine = {model["id"] for model in await stage.pages("/v1/models", page_size=2)}
    assert {stage.detector, stage.classifier, common} <= mine
    theirs = await api.as_(elsewhere).get("/v1/models", params={"page_size": 500})
    found = {model["id"] for model in theirs.json()["items"]}
    assert common in found
    assert not found & {stage.detector, stage.classifier}
    assert (await api.as_(elsewhere).get(f"/v1/models/{stage.detector}")).status_code == 404
    assert (await admin.get(f"/v1/models/{uuid4()}")).status_code == 404


async def test_filters_and_the_whole_card(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    one = await stage.get(f"/v1/models/{stage.detector}")
    assert (one["card"]["classes"], one["digest"]) == (["person", "cat", "dog"], built(DETECTOR).digest)
    assert (one["state"], one["built_in"], one["classes"], one["license"]) == ("ready", False, 3, "Apache-2.0")
    tasks = {m["task"] for m in await stage.pages("/v1/models", task="image_classification", media_type="image")}
    assert tasks == {"image_classification"}
    assert stage.detector not in {m["id"] for m in await stage.pages("/v1/models", state="unavailable")}
    assert (await stage.client.get("/v1/models?task=magic")).status_code == 422


async def test_models_are_ranked_for_the_project(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    sessions = api.resources.sessions
    away = await add_model(
        sessions, card("away", "bounding_box", ("Person", "Cats")), "unavailable", workspace_id=workspace.id
    )
    texts = await add_model(
        sessions,
        card(
            "texts",
            "text_entity",
            ("name",),
            media_type="text",
            task="named_entity_recognition",
            preprocessing={"kind": "plain_text"},
            inputs=({"name": "text", "datatype": "BYTES", "shape": (1,)},),
        ),
        workspace_id=workspace.id,
    )
    ranked = await stage.pages(f"/v1/projects/{stage.project}/models", page_size=2)
    own = [m for m in ranked if not m["built_in"]]
    assert [m["id"] for m in own] == [stage.detector, stage.classifier, str(away), str(texts)]
    fits = {m["slug"]: m["compatibility"] for m in own}
    # Person and Cats are named like classes, seen/dog's slot is none of a detector's.
    assert (fits[DETECTOR.slug]["score"], fits[DETECTOR.slug]["class_coverage"]) == (
        pytest.approx(0.2 + 0.6 * 0.9 + 0.2 * 2 / 6, abs=1e-4),
        1.0,
    )
    assert fits[CLASSIFIER.slug]["class_coverage"] == 0.75
    assert not fits[DETECTOR.slug]["blockers"]
    assert [one["code"] for one in fits["away"]["blockers"]] == ["not_ready"]
    assert [one["code"] for one in fits["texts"]["blockers"]] == ["media_type", "no_feature"]
    assert (fits["texts"]["score"], fits["away"]["state"]) == (0.0, "unavailable")


async def test_suggested_alignment_can_be_submitted_as_it_is(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    path = f"/v1/projects/{stage.project}/models"
    boxes = await stage.get(f"{path}/{stage.detector}/alignment")
    assert [(e["model_class"], e["feature_name"], e["reason"], e["score"]) for e in boxes["entries"]] == [
        ("person", "Person", "normalized_name", 0.9),
        ("cat", "Cats", "normalized_name", 0.9),
    ]
    assert boxes["unmapped_model_classes"] == ["dog"]
    assert [(f["feature_name"], f["reason"]) for f in boxes["uncovered_features"]] == [
        ("Sky", "not_given_by_model"),
        ("scene", "not_given_by_model"),
        ("seen", "not_given_by_model"),
        ("remarks", "not_given_by_model"),
    ]
    answers = await stage.get(f"{path}/{stage.classifier}/alignment")
    assert {(e["model_class"], e["feature_name"], e["option_name"], e["reason"]) for e in answers["entries"]} == {
        ("indoors", "scene", "Indoors", "normalized_name"),
        ("outdoor", "scene", "Outdoors", "normalized_name"),
        ("cat", "seen", "cat", "exact_name"),
    }
    assert ("seen", "dog") in {(f["feature_name"], f["option_name"]) for f in answers["uncovered_features"]}
    for model, found in ((stage.detector, boxes), (stage.classifier, answers)):
        submitted = await stage.post({"model_id": model, "alignment": {"entries": found["entries"]}})
        assert submitted.status_code == 202, submitted.text
        assert [e["conversion"] for e in submitted.json()["alignment"]] == [e["conversion"] for e in found["entries"]]
    assert [e["conversion"]["to"] for e in boxes["entries"]] == ["bounding_box", "polygon"]


async def test_what_a_model_reads_is_suggested_and_submitted_as_it_is(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    tree = {"tools": [{"type": "bounding_box", "name": "Sign", "classifications": [
        {"type": "free_text", "name": "words"},
        {"type": "radio", "name": "stance", "options": [{"name": "Upright"}, {"name": "slanted"}]},
    ]}]}  # fmt: skip
    path = f"/v1/projects/{stage.project}/ontology"
    assert (await stage.client.put(path, json=tree, headers={"If-Match": '"1"'})).status_code == 200
    reader = card("own-reader", "bounding_box", ("text",), attributes=("text", "stance"))
    model = str(await add_model(api.resources.sessions, reader, workspace_id=workspace.id))
    found = await stage.get(f"/v1/projects/{stage.project}/models/{model}/alignment")
    (entry,) = found["entries"]
    assert (entry["reason"], [answer["attribute"] for answer in entry["answers"]]) == ("reads_text", ["text", "stance"])
    submitted = await stage.post({"model_id": model, "alignment": {"entries": [entry]}})
    assert submitted.status_code == 202, submitted.text
    assert submitted.json()["alignment"][0]["answers"] == entry["answers"]


async def test_catalog_of_a_foreign_project_is_404(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage, theirs = await make_stage(api, workspace), api.as_(elsewhere, Role.ADMIN)
    assert (await theirs.get(f"/v1/projects/{stage.project}/models")).status_code == 404
    alignment = f"/v1/projects/{stage.project}/models/{stage.detector}/alignment"
    assert (await theirs.get(alignment)).status_code == 404
    assert (await stage.client.get(alignment.replace(stage.detector, str(uuid4())))).status_code == 404
