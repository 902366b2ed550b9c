"""ML backends of Label Studio as models: a backend in a process of its own, asked by a worker over HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from services.api.access.principal import Role
from tests.support import colors
from tests.support.api import api_settings, running_api
from tests.support.label_studio_backend import BackendProcess, running_backend
from tests.support.own_models import Json, Registry, Shop, registering

CHOICES = (
    '<View><Image name="image" value="$picture"/><Choices name="Colour" toName="image">'
    '<Choice value="red"/><Choice value="green"/><Choice value="blue"/></Choices></View>'
)
BOXES = (
    '<View><Image name="image" value="$picture"/><RectangleLabels name="box" toName="image">'
    '<Label value="red"/><Label value="green"/><Label value="blue"/></RectangleLabels></View>'
)
NAMES = (
    '<View><Text name="text" value="$text"/><Labels name="who" toName="text"><Label value="Person"/></Labels></View>'
)
_SILENT = "http://127.0.0.1:9"


@pytest.fixture
async def backend() -> AsyncIterator[BackendProcess]:
    async with running_backend() as found:
        yield found


@pytest.fixture
async def shop(
    database_url: str, redis_url: str, tmp_path: Path, service_environment: dict[str, str], backend: BackendProcess
) -> AsyncIterator[Shop]:
    del service_environment  # which the workers read
    settings = api_settings(database_url, redis_url, tmp_path / "objects")
    allowed = settings.model_copy(update={"allowed_label_studio_backends": (backend.url, _SILENT)})
    async with running_api(allowed) as api:
        workspace = await api.workspace()
        yield Shop(api, workspace, api.as_(workspace, Role.EDITOR))


@asynccontextmanager
async def working(shop: Shop, *urls: str, **changed: Any) -> AsyncIterator[Registry]:
    """A worker that may ask these backends, and lends contents as its own process does."""
    app = FastAPI()
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    asked = {"inference_content_url": f"http://127.0.0.1:{port}", "allowed_label_studio_backends": urls, **changed}
    try:
        async with registering(shop.api, **asked) as registry:
            registry.machinery.lending.serve_on(app)
            yield registry
    finally:
        server.should_exit = True
        await serving


async def bring(shop: Shop, url: str, label_config: str = CHOICES, **more: Any) -> httpx2.Response:
    body = {
        **{"url": url, "label_config": label_config, "name": "Colours", "slug": "colours", "version": "1"},
        **{"license": {"spdx": "Apache-2.0"}, **more},
    }
    return await shop.client.post("/v1/models/label-studio", json=body)


async def outcomes(shop: Shop, project: str, run: str) -> dict[str, Json]:
    rows = {row["id"]: row["global_key"] for row in (await shop.get(f"{project}/data-rows"))["items"]}
    return {rows[one["data_row_id"]]: one for one in (await shop.get(f"{run}/outcomes"))["items"]}


async def shown(shop: Shop, run: str) -> list[Json]:
    assert (await colors.ended(shop, run))["state"] == "completed"
    found: list[Json] = (await shop.get(f"{run}/pre-labels"))["items"]
    return found


async def test_a_backend_is_registered_and_runs(shop: Shop, backend: BackendProcess) -> None:
    async with working(shop, f"{backend.url}/") as registry:
        answer = await bring(shop, backend.url)
        model = await shop.ready(answer)
        assert model["served_at"] == {
            **{"address": backend.url, "model": "colours", "version": "", "label_config": CHOICES}
        }
        assert (model["task"], model["annotation_kind"]) == ("image_classification", "classification")
        assert model["card"]["classes"] == ["red", "green", "blue"]
        (listed,) = [one for one in (await shop.get("/v1/models"))["items"] if one["id"] == model["id"]]
        assert (listed["served_at"]["address"], listed["served_at"]["label_config"]) == (backend.url, None)
        repeat = await bring(shop, backend.url)
        assert repeat.json()["model"]["id"] == model["id"]
        project = await colors.set_up(shop)
        asked = await backend.does("listed")
        assert await colors.said(shop, project, await colors.submit(shop, project, model)) == colors.RIGHT
        assert await backend.does() == asked + 1, "one call for all rows"
        lent = registry.machinery.lending
        with lent.lend([colors.picture("red")]) as (url,):
            async with httpx2.AsyncClient() as client:
                assert (await client.get(url)).content == colors.picture("red")
                assert (await client.get(url.replace("/contents/", "/contents/x"))).status_code == 404
        async with httpx2.AsyncClient() as client:
            assert (await client.get(url)).status_code == 404, "it was lent for a while"


async def test_boxes_come_back_in_pixels(shop: Shop, backend: BackendProcess) -> None:
    async with working(shop, backend.url):
        model = await shop.ready(await bring(shop, backend.url, BOXES))
        tools = [{"type": "bounding_box", "name": name} for name in ("red", "green", "blue")]
        body = {"name": "boxes", "media_type": "image", "ontology": {"tools": tools}}
        project = f"/v1/projects/{(await shop.client.post('/v1/projects', json=body)).json()['id']}"
        files = [("file", ("green.png", colors.picture("green")))]
        assert (await shop.client.post(f"{project}/data-rows/upload", files=files)).json()["created"] == 1
        (one,) = await shown(shop, await colors.submit(shop, project, model))
    assert (one["model_class"], one["confidence"]) == ("green", 0.9)
    box = {name: one["annotation"][name] for name in ("left", "top", "width", "height")}
    assert box == {"left": 7.5, "top": 10.0, "width": 15.0, "height": 10.0}, "of 30 x 20 pixels"


async def test_texts_stand_in_the_task(shop: Shop, backend: BackendProcess) -> None:
    async with working(shop, backend.url):
        model = await shop.ready(await bring(shop, backend.url, NAMES, score_if_missing=0.7))
        body = {
            "name": "names",
            "media_type": "text",
            "ontology": {"tools": [{"type": "text_entity", "name": "Person"}]},
        }
        project = f"/v1/projects/{(await shop.client.post('/v1/projects', json=body)).json()['id']}"
        texts = {"one": "\U0001f600 Ada met", "none": "nobody"}
        items = [{"global_key": key, "text": text} for key, text in texts.items()]
        assert (await shop.client.post(f"{project}/data-rows", json={"items": items})).json()["created"] == len(items)
        (one,) = await shown(shop, await colors.submit(shop, project, model))
    assert one["confidence"] == 0.7
    assert (one["annotation"]["start"], one["annotation"]["end"]) == (2, 5), "code points"


async def test_only_allowed_backends_are_asked(shop: Shop, backend: BackendProcess) -> None:
    for url in (f"{backend.url}/other", "http://127.0.0.1:1", "https://example.org"):
        refused = await bring(shop, url)
        assert [(one["pointer"], one["code"]) for one in refused.json()["errors"]] == [("/url", "address_not_allowed")]
    async with working(shop):  # the operator took it away meanwhile
        problem = await shop.refused(await bring(shop, backend.url))
    assert "does not allow" in problem["detail"]


@pytest.mark.parametrize(
    ("label_config", "more", "said"),
    [
        ("<View/>", {}, ("/label_config", "invalid_label_config")),
        ("<!DOCTYPE x><View/>", {}, ("/label_config", "invalid_label_config")),
        (CHOICES.replace("Choices", "Ranker"), {}, ("/control", "control_not_chosen")),
        (CHOICES, {"control": "nobody"}, ("/control", "control_not_chosen")),
        (CHOICES.replace('"green"', '"red"'), {}, ("/label_config", "duplicate_class")),
        (CHOICES, {"default_threshold": 0.01}, ("/default_threshold", "threshold_under_floor")),
    ],
)
async def test_what_cannot_be_registered_says_where(
    shop: Shop, backend: BackendProcess, label_config: str, more: Json, said: tuple[str, str]
) -> None:
    answer = await bring(shop, backend.url, label_config, **more)
    assert answer.status_code == 422
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [said]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("only_one", "1 results for 2 tasks"),
        ("one_too_many", "2 results for 1 tasks"),
        ("no_list", "no list `results`"),
        ("several", "not one prediction"),
        ("other_type", "of type 'rectanglelabels'"),
        ("error", "answers 500: ValueError: no such thing"),
        ("busy", "does not answer"),
    ],
)
async def test_a_backend_that_does_not_answer_the_probe_is_refused(
    shop: Shop, backend: BackendProcess, fault: str, words: str
) -> None:
    async with working(shop, backend.url):
        await backend.does(fault)
        assert words in (await shop.refused(await bring(shop, backend.url)))["detail"]


async def test_a_backend_that_is_away_is_a_reason(shop: Shop) -> None:
    async with working(shop, _SILENT):
        assert f"{_SILENT} does not answer" in (await shop.refused(await bring(shop, _SILENT)))["detail"]


@pytest.mark.parametrize(
    ("fault", "failed", "said"),
    [
        ("one_nan", {"green.png"}, ("bad_model_output", "no JSON")),
        ("one_too_few", set(colors.RIGHT), ("bad_model_output", "0 results for 1 tasks")),
        ("one_too_many", set(colors.RIGHT), ("bad_model_output", "2 results for 1 tasks")),
        ("no_regions", set(colors.RIGHT), ("bad_model_output", "no list `result`")),
        ("unknown_label", set(colors.RIGHT), ("bad_model_output", "no label 'purple'")),
        ("high_score", set(colors.RIGHT), ("bad_model_output", "outside 0 to 1")),
        ("error", set(colors.RIGHT), ("model_rejected", "answers 500: ValueError: no such thing")),
    ],
)
async def test_wrong_answers_fail_their_rows_and_no_others(
    shop: Shop, backend: BackendProcess, fault: str, failed: set[str], said: tuple[str, str]
) -> None:
    async with working(shop, backend.url):
        model = await shop.ready(await bring(shop, backend.url))
        project = await colors.set_up(shop)
        await backend.does(fault)
        run = await colors.submit(shop, project, model)
        assert (await colors.ended(shop, run))["failed"] == len(failed)
        found = await outcomes(shop, project, run)
        assert {key for key, one in found.items() if one["state"] == "failed"} == failed
        for key in failed:
            assert found[key]["code"] == said[0]
            assert said[1] in found[key]["detail"]
        right = {row: name for row, name in colors.RIGHT.items() if row not in failed}
        items = (await shop.get(f"{run}/pre-labels"))["items"]
        rows = {row["id"]: row["global_key"] for row in (await shop.get(f"{project}/data-rows"))["items"]}
        assert {rows[one["data_row_id"]]: one["model_class"] for one in items} == right


async def test_a_backend_that_answers_one_task_only_is_asked_row_by_row(shop: Shop, backend: BackendProcess) -> None:
    async with working(shop, backend.url):
        model = await shop.ready(await bring(shop, backend.url))
        project = await colors.set_up(shop)
        await backend.does("only_one")
        assert await colors.said(shop, project, await colors.submit(shop, project, model)) == colors.RIGHT


@pytest.mark.parametrize("fault", ["late", "busy"])
async def test_a_run_waits_for_a_backend_and_goes_on(shop: Shop, backend: BackendProcess, fault: str) -> None:
    patience = {"label_studio_deadline_seconds": 0.5, "inference_patience_seconds": 0.2}
    async with working(shop, backend.url, **patience):
        model = await shop.ready(await bring(shop, backend.url))
        project = await colors.set_up(shop)
        await backend.does(fault)
        run = await colors.submit(shop, project, model)
        stalled = await _until_stalled(shop, run)
        # A busy machine may be late with /setup already.
        reason = r"no answer to /(predict|setup) within 0.5 s" if fault == "late" else "/predict answers 503"
        assert re.search(reason, stalled)
        await backend.does()
        assert await colors.said(shop, project, run) == colors.RIGHT


async def test_a_killed_backend_costs_time_only(shop: Shop, backend: BackendProcess) -> None:
    async with working(shop, backend.url, inference_patience_seconds=0.2):
        model = await shop.ready(await bring(shop, backend.url))
        project = await colors.set_up(shop)
        await backend.does("late")
        run = await colors.submit(shop, project, model)
        while await backend.does("late") < 3:  # the probes, and the batch that is under way now
            await asyncio.sleep(0.02)
        await backend.kill()
        await _until_stalled(shop, run)
        assert (await shop.until_state(model, "unavailable"))["state_reason"].startswith(backend.url)
        await backend.start()
        assert await colors.said(shop, project, run) == colors.RIGHT


async def test_a_run_stops_when_another_model_is_served(shop: Shop, backend: BackendProcess) -> None:
    async with working(shop, backend.url):
        model = await shop.ready(await bring(shop, backend.url))
        project = await colors.set_up(shop)
        await backend.does(version="colours-2")
        run = await colors.ended(shop, await colors.submit(shop, project, model))
        assert run["state"] == "failed"
        assert "another model than was registered" in run["state_reason"]
        assert run["succeeded"] == 0


async def _until_stalled(shop: Shop, run: str) -> str:
    async with asyncio.timeout(20):
        while (found := await shop.get(run))["state"] != "stalled":
            await asyncio.sleep(0.05)
    return str(found["state_reason"])
