"""Models on servers of others, pinned to what those report: a Triton plays the other's, beside being ours."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.api.access.principal import Role
from services.inference.triton import Triton
from shared.model_card import BuiltModel, ModelCard
from tests.support import colors
from tests.support.api import api_settings, running_api
from tests.support.onnx_models import color_card, color_teller
from tests.support.own_models import Json, Shop, registering

_SILENT = "127.0.0.1:9"


@dataclass(frozen=True)
class Outside:
    """A server of others. Its model has a name that our catalog does not know."""

    address: str
    client: Triton
    built: BuiltModel

    async def serve(self, weights: bytes) -> None:
        await self.client.load_with_weights(self.built, weights, 60)

    async def replace(self, weights: bytes) -> None:
        await self.client.unload(self.built.triton_name)
        await self.serve(weights)

    @property
    def asked(self) -> Json:
        return {"triton_model": self.built.triton_name}


@pytest.fixture
async def outside(triton_url: str) -> AsyncIterator[Outside]:
    card = ModelCard.model_validate(color_card(slug="outside"))
    found = Outside(triton_url, Triton(triton_url, 20), BuiltModel(digest="0" * 64, card=card))
    await found.serve(color_teller())
    yield found
    await found.client.unload(found.built.triton_name)
    await found.client.close()


@pytest.fixture
async def shop(
    database_url: str, redis_url: str, tmp_path: Path, service_environment: dict[str, str], outside: Outside
) -> AsyncIterator[Shop]:
    del service_environment  # which the workers read
    settings = api_settings(database_url, redis_url, tmp_path / "objects")
    allowed = settings.model_copy(update={"allowed_inference_addresses": (outside.address, _SILENT)})
    async with running_api(allowed) as api:
        workspace = await api.workspace()
        yield Shop(api, workspace, api.as_(workspace, Role.EDITOR))


async def test_a_model_of_others_is_pinned_and_a_run_stops_when_it_changes(shop: Shop, outside: Outside) -> None:
    async with registering(shop.api, allowed_inference_addresses=(outside.address,)):
        answer = await shop.bring_from(outside.address, outside.asked, version="1")
        model = await shop.ready(answer)
        assert model["served_at"] == {
            "address": outside.address,
            "model": outside.built.triton_name,
            "version": "1",
            "label_config": None,
        }
        assert model["triton_model"] is None
        assert model["digest"] != answer.json()["model"]["digest"], "that was of the request alone"
        repeat = await shop.bring_from(outside.address, outside.asked, version="1")
        assert repeat.json()["model"]["id"] == model["id"]
        project = await colors.set_up(shop)
        run = await colors.submit(shop, project, model)
        assert await colors.said(shop, project, run) == colors.RIGHT

        await outside.replace(color_teller(seed=7))
        again = await colors.ended(shop, await colors.submit_once_ready(shop, project, model))
        assert again["state"] == "failed"
        assert "another model than was registered" in again["state_reason"]
        assert again["succeeded"] == 0

        await outside.client.unload(outside.built.triton_name)
        away = await shop.until_state(model, "unavailable")
        assert outside.address in away["state_reason"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"outputs": [{"name": "scores", "datatype": "FP32", "shape": [4]}]}, "/outputs/0/shape"),
        ({"outputs": [{"name": "scores", "datatype": "FP16", "shape": [3]}]}, "/outputs/0/datatype"),
        ({"outputs": [{"name": "boxes", "datatype": "FP32", "shape": [3]}]}, "/outputs/0/name"),
    ],
)
async def test_what_the_server_reports_must_be_what_the_card_says(
    shop: Shop, outside: Outside, changes: Json, pointer: str
) -> None:
    async with registering(shop.api, allowed_inference_addresses=(outside.address,)):
        problem = await shop.refused(await shop.bring_from(outside.address, outside.asked, color_card(**changes)))
        assert pointer in {error["pointer"] for error in problem["errors"]}


async def test_only_allowed_addresses_are_asked(shop: Shop, outside: Outside) -> None:
    refused = await shop.bring_from("127.0.0.1:1", outside.asked)
    assert refused.status_code == 422
    assert [(one["pointer"], one["code"]) for one in refused.json()["errors"]] == [("/address", "address_not_allowed")]
    async with registering(shop.api):  # the operator took the address away meanwhile
        problem = await shop.refused(await shop.bring_from(outside.address, outside.asked))
    assert "does not allow" in problem["detail"]


async def test_a_server_that_is_away_or_has_no_such_model_is_a_reason(shop: Shop, outside: Outside) -> None:
    async with registering(shop.api, allowed_inference_addresses=(outside.address, _SILENT)):
        problem = await shop.refused(await shop.bring_from(_SILENT, outside.asked))
        assert f"{_SILENT} does not answer" in problem["detail"]
        problem = await shop.refused(await shop.bring_from(outside.address, {"triton_model": "nobody"}))
        assert "does not answer for the model 'nobody'" in problem["detail"]


async def test_a_card_is_checked_by_pointer(shop: Shop, outside: Outside) -> None:
    card = color_card(default_threshold=0.01, classes=["a", "a", "b"])
    answer = await shop.bring_from(outside.address, outside.asked, card)
    assert answer.status_code == 422
    assert {one["pointer"] for one in answer.json()["errors"]} == {"/card/default_threshold", "/card/classes"}
