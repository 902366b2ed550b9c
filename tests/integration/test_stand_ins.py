"""Stand-ins on the real stack: they are its whole catalog, and what they say belongs to the row they say it of."""

import os
from collections.abc import Iterator

import pytest

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway
from deploy.local.stack import ROOT, StackOptions
from tests.support.stand_ins import answers_constant, model_store, sleeps, sleeps_on_images
from tests.support.texts import configuration, run_to_its_end, set_up_texts

_TEXTS = [chr(ord("!") + number % 90) for number in range(100)]


@pytest.fixture
def stack() -> Iterator[StackProcess]:
    state = ROOT / "var" / "test" / f"stand-ins-{os.getpid()}"
    store = model_store(state / "models", [sleeps(), sleeps(2), sleeps_on_images(), answers_constant()])
    started = StackProcess(StackOptions(state=state, models=store, free_ports=True))
    try:
        with started:
            yield started
    finally:
        started.remove()


async def test_stand_ins_are_served_and_answer_for_each_row(stack: StackProcess, gateway: Gateway) -> None:
    found = {model["slug"]: model["state"] async for model in gateway.pages("/v1/models")}
    assert found == dict.fromkeys(("sleeps", "sleeps-2", "sleeps-on-images", "answers-constant"), "ready")
    parity = [("even", "odd")[ord(text) % 2] for text in _TEXTS]
    assert await _said(gateway, stack.addresses.notifier_url, "sleeps-2") == parity
    assert await _said(gateway, stack.addresses.notifier_url, "answers-constant") == ["yes"] * len(_TEXTS)


async def _said(gateway: Gateway, notifier_url: str, slug: str) -> list[str]:
    """The class of each text, in the order of the rows."""
    frontend = await set_up_texts(gateway, _TEXTS)
    ended = await run_to_its_end(frontend, notifier_url, await configuration(frontend, slug))
    assert (ended["type"], ended["data"]["succeeded"]) == ("model_run.completed", len(_TEXTS))
    shown = gateway.pages(f"/v1/model-runs/{ended['subject']['id']}/pre-labels")
    classes = {one["global_key"]: one["model_class"] async for one in shown}
    return [classes[f"row-{number}"] for number in range(len(_TEXTS))]
