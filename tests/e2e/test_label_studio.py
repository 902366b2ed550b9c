"""Prelabel as a machine learning backend: what Label Studio sends, and regions that fit its configuration."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json
from tests.support.servers import PICTURES
from tests.support.stack import set_up

TEXTS = """<View>
  <Labels name="ner" toName="letter"><Label value="person"/><Label value="Nonsense"/></Labels>
  <Text name="letter" value="$words"/>
</View>"""
PICTURE_CONFIG = """<View>
  <Image name="img" value="$image"/>
  <RectangleLabels name="box" toName="img"><Label value="PERSON"/></RectangleLabels>
</View>"""


@pytest.fixture
async def label_studio(stack: StackProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """Sends what Label Studio does: basic authentication, no bearer token."""
    url = stack.addresses.api_url
    async with httpx2.AsyncClient(
        base_url=url, auth=("label studio", stack.api_key), timeout=120, trust_env=False
    ) as client:
        yield client


async def _texts(gateway: Gateway) -> str:
    ontology = {"tools": [{"type": "text_entity", "name": "Person"}]}
    project = await gateway.post("/v1/projects", {"name": "letters", "media_type": "text", "ontology": ontology})
    return f"/v1/projects/{project['id']}/label-studio"


def _task(number: int, **data: Any) -> Json:
    return {"id": number, "project": 7, "data": data, "annotations": [], "predictions": []}


async def test_texts_get_spans_where_the_configuration_has_a_label(
    gateway: Gateway, label_studio: httpx2.AsyncClient
) -> None:
    path = await _texts(gateway)
    health = await label_studio.get(f"{path}/health")
    assert (health.status_code, health.json()["status"]) == (200, "UP")
    setup = {"project": "7.1764000000", "schema": TEXTS, "hostname": "http://localhost:8080", "access_token": "secret"}
    ready = await label_studio.post(f"{path}/setup", json={**setup, "extra_params": '{"threshold": 0.3}'})
    assert ready.status_code == 200, ready.text
    assert ready.json()["unmatched_labels"] == ["Nonsense"]
    assert ready.json()["model_version"].endswith("@0.3")
    text = "😀 Barack Obama met Angela Merkel in Berlin."
    tasks = [_task(1, words=text), _task(2, words=7), _task(3, words="Nothing to see here.")]
    said = await label_studio.post(
        f"{path}/predict", json={"tasks": tasks, "project": "7.1764000000", "label_config": TEXTS, "params": {}}
    )
    assert said.status_code == 200, said.text
    first, second, third = said.json()["results"]
    spans = {text[one["value"]["start"] : one["value"]["end"]]: one for one in first[0]["result"]}
    assert {"Barack Obama", "Angela Merkel"} <= set(spans)
    region = spans["Barack Obama"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("ner", "letter", "labels")
    assert (region["value"]["labels"], region["value"]["text"]) == (["person"], "Barack Obama")
    assert first[0]["model_version"] == ready.json()["model_version"]
    assert first[0]["score"] == min(one["score"] for one in first[0]["result"])
    assert second == []
    assert [(one["task"], one["code"]) for one in said.json()["failures"]] == [(1, "string_type")]
    assert third[0]["result"] == []
    previews = await gateway.get(path.replace("label-studio", "previews"))
    assert previews["items"] == []


async def test_pictures_that_are_known_by_their_key_get_boxes_in_percent(
    gateway: Gateway, label_studio: httpx2.AsyncClient
) -> None:
    photograph = (PICTURES / "astronaut.png").read_bytes()
    ontology = {"tools": [{"type": "bounding_box", "name": "Person"}]}
    frontend = await set_up(gateway, ontology, [("one.png", photograph)])
    path = f"{frontend.path}/label-studio"
    chosen = {"model": (await frontend.model("object_detection"))["slug"], "threshold": 0.4}
    body = {"project": "8.1", "schema": PICTURE_CONFIG, "extra_params": chosen}
    ready = await label_studio.post(f"{path}/setup", json=body)
    assert ready.status_code == 200, ready.text
    tasks = [_task(1, image="s3://elsewhere/one.png", global_key="one.png")]
    said = await label_studio.post(
        f"{path}/predict", json={"tasks": tasks, "project": "8.1", "label_config": PICTURE_CONFIG}
    )
    assert said.status_code == 200, said.text
    ((prediction,),) = said.json()["results"]
    assert prediction["result"]
    for region in prediction["result"]:
        assert region["value"]["rectanglelabels"] == ["PERSON"]
        assert (region["original_width"], region["original_height"]) == (512, 512)
        assert 0 <= region["value"]["x"] <= 100
        assert 0 < region["value"]["width"] <= 100
        assert region["score"] >= 0.4


async def test_what_is_wrong_is_said(gateway: Gateway, label_studio: httpx2.AsyncClient, stack: StackProcess) -> None:
    path = await _texts(gateway)
    refused = {
        "invalid_label_config": {"schema": "<View><"},
        "unknown_model": {"schema": TEXTS, "extra_params": {"model": "unicorn"}},
        "nothing_matches": {"schema": TEXTS.replace("person", "Unicorn")},
        "extra_forbidden": {"schema": TEXTS, "extra_params": {"treshold": 0.3}},
    }
    for code, body in refused.items():
        answer = await label_studio.post(f"{path}/setup", json=body)
        assert answer.status_code == 422
        found = [error["code"] for error in answer.json().get("errors") or []] or [answer.json()["code"]]
        assert found == [code]
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>'
    assert (await label_studio.post(f"{path}/setup", json={"schema": bomb})).status_code == 422
    tasks = [_task(1, words="")]
    none = await label_studio.post(f"{path}/predict", json={"tasks": tasks, "label_config": TEXTS})
    assert (none.status_code, none.json()["code"]) == (422, "no_usable_task")
    foreign = await label_studio.get("/v1/projects/0199f1a2-7c5e-7f0a-8d3b-5c6e7f809102/label-studio/health")
    assert foreign.status_code == 404
    async with httpx2.AsyncClient(base_url=stack.addresses.api_url, auth=("x", "plk_no"), trust_env=False) as stranger:
        assert (await stranger.get(f"{path}/health")).status_code == 401


async def test_the_configuration_of_the_ontology_is_one_that_is_understood(
    gateway: Gateway, label_studio: httpx2.AsyncClient
) -> None:
    path = await _texts(gateway)
    config = (await label_studio.get(f"{path}/config")).text
    ready = await label_studio.post(f"{path}/setup", json={"schema": config})
    assert ready.json()["unmatched_labels"] == []
