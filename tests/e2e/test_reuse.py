"""A second run over known photographs, on the whole stack: Triton's own statistics say that no model was asked."""

import asyncio
from secrets import token_bytes

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json
from tests.support.servers import PICTURES
from tests.support.stack import Frontend, inferences, set_up, until_ended

ONTOLOGY: Json = {"tools": [{"type": "bounding_box", "name": name} for name in ("Person", "Cat")]}
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "grace_hopper.jpg")


async def _run(frontend: Frontend, wanted: Json) -> Json:
    run = await frontend.gateway.post(f"{frontend.path}/model-runs", wanted)
    now = await until_ended(frontend.gateway, f"/v1/model-runs/{run['id']}")
    assert now["state"] == "completed"
    return now


async def _estimate(frontend: Frontend, wanted: Json) -> Json:
    async with asyncio.timeout(30):
        while True:
            found = await frontend.gateway.post(f"{frontend.path}/model-runs/estimate", wanted)
            if found["duration"] is not None:
                return found
            await asyncio.sleep(0.2)


async def test_a_second_run_over_known_rows_makes_no_inference(gateway: Gateway, stack: StackProcess) -> None:
    # Bytes after the end of a picture change nothing but its hash: no other test's run knows these.
    frontend = await set_up(
        gateway, ONTOLOGY, [(name, (PICTURES / name).read_bytes() + token_bytes()) for name in NAMES]
    )
    wanted = await frontend.wanted(await frontend.model("object_detection"), 0.3)
    first = await _run(frontend, wanted)
    before = await inferences(stack)
    estimate = await _estimate(frontend, wanted)
    assert (estimate["rows"], estimate["reused"], estimate["duration"]["expected"]) == (4, 4, 0)
    anew = await _estimate(frontend, {**wanted, "reuse": False})
    assert anew["reused"] == 0
    assert anew["duration"]["expected"] > 0

    second = await _run(frontend, wanted)
    stricter = await _run(frontend, {**wanted, "threshold": 0.7})
    assert await inferences(stack) == before
    pre_labels, ledgers = [], []
    for run in (first, second, stricter):
        path = f"/v1/model-runs/{run['id']}"
        found = [one async for one in gateway.pages(f"{path}/pre-labels")]
        pre_labels.append(
            [(one["global_key"], one["ordinal"], one["feature_name"], one["annotation"]) for one in found]
        )
        ledgers.append((await gateway.get(f"{path}/ledger"))["classes"])
        assert run["succeeded"] == run["done"] == len(NAMES)
        assert run["detections"] == first["detections"] == sum(one["raw"] for one in ledgers[-1])
    assert pre_labels[0] == pre_labels[1]
    assert ledgers[0] == ledgers[1]
    assert "astronaut.png" in {one[0] for one in pre_labels[2]}
    assert len(pre_labels[2]) < len(pre_labels[0])

    outcomes = [one async for one in gateway.pages(f"/v1/model-runs/{second['id']}/outcomes")]
    assert {one["reused_from"]["model_run_id"] for one in outcomes} == {first["id"]}
    assert all(one["reused_from"]["data_row_id"] == one["data_row_id"] for one in outcomes)
    assert second["configuration"]["reuse"] is True

    asked = await _run(frontend, {**wanted, "reuse": False})
    assert sum((await inferences(stack)).values()) == sum(before.values()) + len(NAMES)
    outcomes = [one async for one in gateway.pages(f"/v1/model-runs/{asked['id']}/outcomes")]
    assert {one["reused_from"] for one in outcomes} == {None}
