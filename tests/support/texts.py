"""A project of short inline texts on a running stack, for runs of the stand-ins."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice

from deploy.local.demo.client import Channel, Gateway, Json, subscribed
from shared.contracts.events import TERMINAL_STATES
from tests.support.stack import Frontend

_OPTIONS = ("even", "odd", "yes", "no")
_AT_ONCE = 1000


async def set_up_texts(gateway: Gateway, texts: Iterable[str], options: Sequence[str] = _OPTIONS) -> Frontend:
    """A data row for each text, `row-0` and so on, all in one batch; the options of the one question."""
    answer = {"type": "radio", "name": "Answer", "options": [{"name": name} for name in options]}
    wanted = {"name": "texts", "media_type": "text", "ontology": {"classifications": [answer]}}
    frontend = Frontend(gateway, (await gateway.post("/v1/projects", wanted))["id"])
    items = ({"global_key": f"row-{number}", "text": text} for number, text in enumerate(texts))
    while some := list(islice(items, _AT_ONCE)):
        await gateway.post(f"{frontend.path}/data-rows", {"items": some})
    await gateway.post(f"{frontend.path}/batches", {"name": "all", "all": True})
    return frontend


async def configuration(frontend: Frontend, slug: str) -> Json:
    """A run of a stand-in as its suggested alignment has it; every row asks the model, however often it was seen."""
    async for model in frontend.gateway.pages(f"{frontend.path}/models"):
        if model["slug"] == slug:
            return {**await frontend.wanted(model, 0.5), "reuse": False}
    raise LookupError(f"there is no model {slug}")


async def make_known(frontend: Frontend, notifier_url: str, slug: str) -> None:
    """A first run of a stand-in: its speed is known then, and the segments of later runs are cut by it."""
    wanted = {**await configuration(frontend, slug), "limit": 500}
    await run_to_its_end(frontend, notifier_url, wanted)
    async with asyncio.timeout(30):
        while not (await frontend.gateway.get(f"/v1/models/{wanted['model_id']}"))["rows_per_second"]:
            await asyncio.sleep(0.2)


async def run_to_its_end(frontend: Frontend, notifier_url: str, wanted: Json) -> Json:
    """Submit and wait for the terminal event, which it gives; the run's last counters are in its `data`."""
    async with subscribed(frontend.gateway, notifier_url, f"project:{frontend.project_id}") as channel:
        return await submitted_to_its_end(channel, frontend.gateway, f"{frontend.path}/model-runs", wanted)


async def submitted_to_its_end(channel: Channel, gateway: Gateway, path: str, wanted: Json) -> Json:
    """As `run_to_its_end`, on a project's channel that is open; `path` may be that of its previews too."""
    submitted = await gateway.post(path, wanted)
    async for message in channel:
        event: Json = message.get("event", {})
        is_its = event.get("subject", {}).get("id") == submitted["id"]
        if is_its and event["type"].partition(".")[2] in TERMINAL_STATES:
            return event
    raise RuntimeError("the socket closed before the end was told")
