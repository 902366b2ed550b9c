"""Pictures of one colour, and runs over them with a model that tells colours."""

import asyncio
from collections.abc import Mapping
from typing import Any

import cv2
import httpx2 as httpx
import numpy as np

from tests.support.onnx_models import CLASSES
from tests.support.own_models import Json, Shop

ONTOLOGY: Json = {
    "classifications": [{"type": "radio", "name": "Colour", "options": [{"name": name} for name in CLASSES]}]
}
RIGHT = {f"{name}.png": name for name in CLASSES}


def picture(color: str) -> bytes:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[..., 2 - CLASSES.index(color)] = 255  # which OpenCV takes in the order blue, green, red
    return bytes(cv2.imencode(".png", pixels)[1])


async def set_up(shop: Shop) -> str:
    """The path of a project with one picture of each colour."""
    body = {"name": "colours", "media_type": "image", "ontology": ONTOLOGY}
    path = f"/v1/projects/{(await shop.client.post('/v1/projects', json=body)).json()['id']}"
    files = [("file", (f"{name}.png", picture(name))) for name in CLASSES]
    assert (await shop.client.post(f"{path}/data-rows/upload", files=files)).json()["created"] == len(CLASSES)
    return path


async def submit(shop: Shop, project: str, model: Mapping[str, Any]) -> str:
    """A run's path."""
    answer = await _submitted(shop, project, model)
    assert answer.status_code == 202, answer.text
    return f"/v1/model-runs/{answer.json()['id']}"


async def submit_once_ready(shop: Shop, project: str, model: Mapping[str, Any], seconds: float = 20) -> str:
    """For a model that was away for a moment: whether anybody saw that, and when, is open."""
    async with asyncio.timeout(seconds):
        while (answer := await _submitted(shop, project, model)).status_code != 202:
            assert answer.json()["code"] == "model_blocked", answer.text
            await asyncio.sleep(0.2)
    return f"/v1/model-runs/{answer.json()['id']}"


async def _submitted(shop: Shop, project: str, model: Mapping[str, Any]) -> httpx.Response:
    entries = (await shop.get(f"{project}/models/{model['id']}/alignment"))["entries"]
    wanted = {"model_id": model["id"], "threshold": 0.5, "alignment": {"entries": entries}}
    return await shop.client.post(f"{project}/model-runs", json=wanted)


async def ended(shop: Shop, run: str, seconds: float = 30) -> Json:
    async with asyncio.timeout(seconds):
        while (found := await shop.get(run))["finished_at"] is None:
            await asyncio.sleep(0.05)
    return found


async def said(shop: Shop, project: str, run: str) -> dict[str, str]:
    """What a completed run says of each picture."""
    found = await ended(shop, run)
    assert found["state"] == "completed", found
    rows = {row["id"]: row["global_key"] for row in (await shop.get(f"{project}/data-rows"))["items"]}
    shown = (await shop.get(f"{run}/pre-labels"))["items"]
    return {rows[one["data_row_id"]]: one["model_class"] for one in shown}
