"""Bring your own model: through the front door, onto the real Triton, and into a run."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.api.access.principal import Role
from services.inference import own_models
from services.inference.triton import Triton
from tests.support import colors
from tests.support.api import api_settings, running_api
from tests.support.onnx_models import (
    CLASSES,
    FOREIGN,
    NAN,
    NOT_ON_THE_SERVER,
    UNKNOWN,
    color_card,
    color_teller,
    with_external_data,
)
from tests.support.own_models import Json, Registry, Shop, loaded, registering, stored

NAMES = str(dict(enumerate(CLASSES)))


@pytest.fixture
async def shop(
    database_url: str, redis_url: str, tmp_path: Path, service_environment: dict[str, str]
) -> AsyncIterator[Shop]:
    del service_environment  # which the workers read
    async with running_api(api_settings(database_url, redis_url, tmp_path / "objects")) as api:
        workspace = await api.workspace()
        yield Shop(api, workspace, api.as_(workspace, Role.EDITOR))


@pytest.fixture
async def registry(shop: Shop) -> AsyncIterator[Registry]:
    async with registering(shop.api) as found:
        yield found


async def until_gone(triton_url: str, model: Json, folder: Path) -> None:
    async with asyncio.timeout(20):
        while await loaded(triton_url, model) or stored(folder / "objects"):
            await asyncio.sleep(0.1)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of models that go are removed without waiting for workers that may still write some."""
    monkeypatch.setattr(own_models, "_FILES_KEPT_FOR", timedelta(0))


async def test_a_model_is_brought_and_used_in_a_run(
    shop: Shop, registry: Registry, triton_url: str, tmp_path: Path
) -> None:
    answer = await shop.bring()
    assert answer.json()["model"]["state"] == "registering"
    operation, model = await shop.settled(answer)
    assert (model["state"], model["card"]["classes_from"]) == ("ready", "card"), operation
    assert operation["result"] == {"model_id": model["id"], "classes": 3, "classes_from": "card"}
    assert operation["progress"] == {"done": 4, "total": 4, "stage": "probing"}
    assert await loaded(triton_url, model)
    assert stored(tmp_path / "objects") == [f"models/{model['digest']}/model.onnx"]
    notes = (await shop.get("/v1/notifications"))["items"]
    assert [note["type"] for note in notes] == ["operation.succeeded", "model.ready"]
    assert notes[1]["subject"] == {"kind": "model", "id": model["id"]}
    project = await colors.set_up(shop)
    assert await colors.said(shop, project, await colors.submit(shop, project, model)) == colors.RIGHT


async def test_names_of_classes_are_read_in_order(shop: Shop, registry: Registry) -> None:
    labels, config = "\n".join(CLASSES).encode(), json.dumps({"id2label": dict(enumerate(CLASSES))}).encode()
    unnamed, named = color_card(classes=None), {"names": NAMES}
    asked: dict[str, tuple[Json, dict[str, str], dict[str, bytes]]] = {
        "card": (color_card(), {"names": "{0: 'other'}"}, {"labels": b"other\n"}),
        "labels_file": (unnamed, {"names": "{0: 'other'}"}, {"labels": labels, "config": config}),
        "onnx_metadata": (unnamed, named, {"config": b'{"id2label": {"0": "other"}}'}),
        "id2label": (unnamed, {}, {"config": config}),
    }
    for source, (card, metadata, beside) in asked.items():
        answer = await shop.bring({**card, "version": source}, color_teller(metadata=metadata), beside)
        model = await shop.ready(answer)
        assert (model["card"]["classes_from"], tuple(model["card"]["classes"])) == (source, CLASSES)


def output(**changes: Any) -> Json:
    return {"outputs": [{"name": "scores", "datatype": "FP32", "shape": [3], **changes}]}


WRONG: tuple[tuple[Json, bytes, str, str], ...] = (
    ({}, b"\x00\xff" * 500, "", "not_onnx"),
    ({}, color_teller(UNKNOWN), "", "unknown_operators"),
    ({}, color_teller(FOREIGN), "", "unknown_operators"),
    ({}, with_external_data(), "", "external_data"),
    ({}, color_teller(opset=17, ir_version=11), "", "ir_version_too_new"),
    ({}, color_teller(opset=99), "", "opset_too_new"),
    ({}, color_teller(batch=1), "/batch_axis", "no_free_batch_axis"),
    ({"batch_axis": "one", "max_batch_size": 1}, color_teller(), "/batch_axis", "batch_axis_not_one"),
    ({}, color_teller(classes=4), "/outputs/0/shape", "wrong_shape"),
    (output(datatype="INT32"), color_teller(), "/outputs/0/datatype", "wrong_datatype"),
    (output(name="boxes"), color_teller(), "/outputs/0/name", "unknown_output"),
    ({"classes": ["red", "green"]}, color_teller(), "/outputs", "outputs_do_not_fit"),
    ({"classes": None}, color_teller(metadata={"names": "['a', 'b']"}), "/outputs", "outputs_do_not_fit"),
    ({"classes": None}, color_teller(), "/classes", "classes_unreadable"),
    ({"classes": None}, color_teller(metadata={"names": "{0: 'a', 5: 'b'}"}), "/classes", "classes_unreadable"),
    ({"decoder": {"name": "clairvoyance"}}, color_teller(), "/decoder/name", "unknown_decoder"),
    (
        {"decoder": {"name": "classification", "parameters": {"scores": 3}}},
        color_teller(),
        "/decoder/parameters/scores",
        "string_type",
    ),
)


async def test_a_file_that_is_not_what_the_card_says_fails_in_words(shop: Shop, registry: Registry) -> None:
    answers = [
        await shop.bring(color_card(version=str(place), **card), model) for place, (card, model, *_) in enumerate(WRONG)
    ]
    for answer, (card, _, pointer, code) in zip(answers, WRONG, strict=True):
        problem = await shop.refused(answer)
        assert (pointer, code) in {(error["pointer"], error["code"]) for error in problem["errors"]}, card
        assert problem["code"] == "model_refused"
    notes = (await shop.get("/v1/notifications", page_size=200))["items"]
    told = {note["subject"]["id"]: note["data"]["reason"] for note in notes if note["type"] == "model.failed"}
    assert set(told) == {answer.json()["model"]["id"] for answer in answers}
    assert all(told.values())


async def test_what_the_server_cannot_load_fails_with_its_reason(
    shop: Shop, registry: Registry, triton_url: str, tmp_path: Path, at_once: None
) -> None:
    answer = await shop.bring(model=color_teller(NOT_ON_THE_SERVER))
    problem = await shop.refused(answer)
    assert "NoSuchOperator" in problem["detail"]
    await until_gone(triton_url, answer.json()["model"], tmp_path)


async def test_a_probe_that_answers_nan_fails_and_leaves_nothing(
    shop: Shop, registry: Registry, triton_url: str, tmp_path: Path, at_once: None
) -> None:
    answer = await shop.bring(model=color_teller(NAN))
    problem = await shop.refused(answer)
    assert "holds NaN" in problem["detail"]
    await until_gone(triton_url, answer.json()["model"], tmp_path)
    assert await shop.ready(await shop.bring())  # the version is free for another try


async def test_a_model_that_takes_one_row_a_call(shop: Shop, registry: Registry) -> None:
    card = color_card(batch_axis="one", max_batch_size=1)
    model = await shop.ready(await shop.bring(card, color_teller(batch=1)))
    project = await colors.set_up(shop)
    assert await colors.said(shop, project, await colors.submit(shop, project, model)) == colors.RIGHT


async def test_a_new_version_is_an_entry_of_its_own(shop: Shop, registry: Registry) -> None:
    first = await shop.ready(await shop.bring())
    project = await colors.set_up(shop)
    run = await colors.submit(shop, project, first)
    repeat = await shop.bring()
    assert (repeat.status_code, repeat.json()["model"]["id"]) == (202, first["id"])
    other = await shop.bring(model=color_teller(seed=1))
    assert (other.status_code, other.json()["code"]) == (409, "model_version_exists")
    assert other.json()["model_id"] == first["id"]
    second = await shop.ready(await shop.bring(color_card(version="2"), color_teller(seed=2)))
    versions = (await shop.get("/v1/models", slug="tells-colours"))["items"]
    assert [one["version"] for one in versions] == ["1", "2"]
    offered = (await shop.get(f"{project}/models"))["items"]
    assert [one["id"] for one in offered if one["slug"] == "tells-colours"] == [second["id"]]
    assert await colors.said(shop, project, run) == colors.RIGHT
    assert (await shop.get(run))["model"]["digest"] == first["digest"]


async def test_own_models_are_of_their_workspace(shop: Shop, registry: Registry) -> None:
    model = await shop.ready(await shop.bring())
    elsewhere = await shop.api.workspace("elsewhere")
    other = Shop(shop.api, elsewhere, shop.api.as_(elsewhere, Role.EDITOR))
    project = await colors.set_up(other)
    for path in (f"/v1/models/{model['id']}", f"{project}/models/{model['id']}/alignment"):
        assert (await other.client.get(path)).status_code == 404
    assert (await other.client.delete(f"/v1/models/{model['id']}")).status_code == 404
    operations = (await shop.get("/v1/operations"))["items"]
    assert (await other.client.get(f"/v1/operations/{operations[0]['id']}")).status_code == 404
    assert model["id"] not in {one["id"] for one in (await other.get("/v1/models"))["items"]}
    run = {"model_id": model["id"], "alignment": {"entries": []}}
    assert (await other.client.post(f"{project}/model-runs", json=run)).status_code == 422
    theirs = await other.ready(await other.bring())  # the same bytes, and yet another model
    assert theirs["digest"] != model["digest"]
    viewer = shop.api.as_(shop.workspace, Role.LABELER)
    assert (await viewer.delete(f"/v1/models/{model['id']}")).status_code == 403


async def test_a_model_goes_when_nothing_uses_it(shop: Shop, triton_url: str, tmp_path: Path, at_once: None) -> None:
    async with registering(shop.api):
        model = await shop.ready(await shop.bring())
        project = await colors.set_up(shop)
        run = await colors.submit(shop, project, model)
        assert await colors.said(shop, project, run) == colors.RIGHT
    waiting = await colors.submit(shop, project, model)  # nobody works on it
    refused = await shop.client.delete(f"/v1/models/{model['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "model_in_use")
    assert refused.json()["model_run_ids"] == [waiting.rpartition("/")[2]]
    assert (await shop.client.post(f"{waiting}/cancel", json={})).status_code == 200
    pictures = [name for name in stored(tmp_path / "objects") if not name.startswith("models/")]
    assert (await shop.client.delete(f"/v1/models/{model['id']}")).status_code == 204
    assert (await shop.client.get(f"/v1/models/{model['id']}")).status_code == 404
    assert (await shop.client.delete(f"/v1/models/{model['id']}")).status_code == 404
    async with registering(shop.api):
        async with asyncio.timeout(20):
            while await loaded(triton_url, model) or stored(tmp_path / "objects") != pictures:
                await asyncio.sleep(0.1)
    assert (await shop.get(run))["model"]["digest"] == model["digest"]
    assert await colors.said(shop, project, run) == colors.RIGHT


async def test_a_killed_worker_leaves_its_registration_to_another(shop: Shop) -> None:
    async with registering(shop.api) as first:
        answer = await shop.bring()
        path = answer.headers["location"]
        async with asyncio.timeout(20):
            while (await shop.get(path))["progress"]["stage"] != "loading":
                await asyncio.sleep(0.01)
        await first.operations.kill()
    async with registering(shop.api):
        await shop.ready(answer)
    events = [note["type"] for note in (await shop.get("/v1/notifications"))["items"]]
    assert sorted(events) == ["model.ready", "operation.succeeded"]


async def test_a_registration_can_be_cancelled(shop: Shop, triton_url: str, tmp_path: Path, at_once: None) -> None:
    answer = await shop.bring()
    assert (await shop.client.delete(f"/v1/models/{answer.json()['model']['id']}")).status_code == 409
    path = f"{answer.headers['location']}/cancel"
    assert (await shop.client.post(path, json={})).status_code == 200
    operation, model = await shop.settled(answer)
    assert (operation["state"], model["state"]) == ("cancelled", "failed")
    assert model["state_reason"] == "the registration was cancelled"
    async with registering(shop.api):
        second = await shop.bring(color_card(version="2"))
        async with asyncio.timeout(20):
            while (await shop.get(second.headers["location"]))["progress"]["stage"] != "loading":
                await asyncio.sleep(0.01)
        assert (await shop.client.post(f"{second.headers['location']}/cancel", json={})).status_code == 200
        for one in (model, (await shop.settled(second))[1]):
            assert one["state"] == "failed"
            await until_gone(triton_url, one, tmp_path)


async def test_a_model_that_triton_lost_comes_back_from_the_object_store(
    shop: Shop, registry: Registry, triton_url: str
) -> None:
    model = await shop.ready(await shop.bring())
    triton = Triton(triton_url, 10)
    await triton.unload(model["triton_model"])
    await triton.close()
    await shop.until_state(model, "loading")
    await shop.until_state(model, "ready")
    project = await colors.set_up(shop)
    assert await colors.said(shop, project, await colors.submit(shop, project, model)) == colors.RIGHT


async def test_all_that_is_wrong_in_a_card_is_said_before_anything_is_stored(shop: Shop, tmp_path: Path) -> None:
    wrong = color_card(slug="Not A Slug", floor=2, inputs=[{"name": "images", "datatype": "FP8", "shape": [8]}], more=1)
    answer = await shop.bring(wrong)
    assert answer.status_code == 422
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers >= {"/slug", "/floor", "/inputs/0/datatype", "/more"}
    unfit = color_card(
        media_type="text", default_threshold=0.01, inputs=[{"name": "images", "datatype": "FP32", "shape": [8, 8, 3]}]
    )
    pointers = {error["pointer"] for error in (await shop.bring(unfit)).json()["errors"]}
    assert pointers == {"/preprocessing", "/default_threshold", "/inputs"}
    assert not stored(tmp_path / "objects")
    assert (await shop.get("/v1/operations"))["items"] == []


async def test_limits_are_kept(database_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = api_settings(database_url, redis_url, tmp_path / "objects")
    limited = settings.model_copy(update={"max_model_file_bytes": 1000, "max_own_models": 1})
    async with running_api(limited) as api:
        workspace = await api.workspace()
        shop = Shop(api, workspace, api.as_(workspace, Role.EDITOR))
        answer = await shop.bring(model=b"x" * 1001)
        assert (answer.status_code, answer.json()["code"]) == (413, "model_too_large")
        assert not stored(tmp_path / "objects")
        assert (await shop.bring(model=b"x" * 1000)).status_code == 202
        full = await shop.bring(color_card(version="2"))
        assert (full.status_code, full.json()["code"]) == (409, "too_many_models")


def form(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), content)
        for name, content in parts
    )


CARD = json.dumps(color_card()).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"words", 400),
        (form(("card", CARD)), 400),  # without an end
        (form() + b"--b--\r\n", 422),
        (form(("card", CARD)) + b"--b--\r\n", 422),
        (form(("model", b"x"), ("card", CARD)) + b"--b--\r\n", 422),
        (form(("card", CARD), ("card", CARD)) + b"--b--\r\n", 422),
        (form(("card", CARD), ("model", b"x"), ("model", b"x")) + b"--b--\r\n", 422),
        (form(("card", CARD), ("model", b"")) + b"--b--\r\n", 422),
        (form(("card", CARD), ("spoon", b"x"), ("model", b"x")) + b"--b--\r\n", 422),
        (form(("card", CARD), ("labels", b"\xff\xfe"), ("model", b"x")) + b"--b--\r\n", 422),
        (form(("card", CARD), ("config", b"[]"), ("model", b"x")) + b"--b--\r\n", 422),
        (form(("card", CARD), ("tokenizer", b"1"), ("model", b"x")) + b"--b--\r\n", 422),
        (form(("card", b"\xff"), ("model", b"x")) + b"--b--\r\n", 400),
        (form(("card", b"[" * 100_000), ("model", b"x")) + b"--b--\r\n", 400),
        (form(("card", b"null"), ("model", b"x")) + b"--b--\r\n", 422),
        (form(("card", b'{"name": "\\u0000"}'), ("model", b"x")) + b"--b--\r\n", 422),
        (form(("card", b'{"floor": NaN}'), ("model", b"x")) + b"--b--\r\n", 422),
        (form(*[("card", CARD)] * 2_000) + b"--b--\r\n", 422),
    ],
)
async def test_nasty_forms_are_the_clients_fault(shop: Shop, tmp_path: Path, body: bytes, status: int) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await shop.client.post("/v1/models", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert not stored(tmp_path / "objects")


async def test_one_thing_wrong_in_a_card_is_the_clients_fault(shop: Shop) -> None:
    nasty: tuple[Any, ...] = (None, -1, 10**30, "", "x" * 20_000, [], [[None]], {}, {"": {}})
    for place in color_card():
        for wrong in nasty:
            answer = await shop.bring({**color_card(), place: wrong}, b"no model")
            assert answer.status_code in (202, 409, 422), answer.text
