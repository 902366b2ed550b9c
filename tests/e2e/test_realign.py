"""Another threshold for a run that has ended, on the real stack: no model is asked, as Triton's own statistics say."""

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json
from tests.support.servers import PICTURES
from tests.support.stack import inferences, set_up, until_ended

_ONTOLOGY: Json = {"tools": [{"type": "bounding_box", "name": name} for name in ("Person", "Cat")]}
_NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "grace_hopper.jpg")


async def test_another_threshold_asks_no_model(stack: StackProcess, gateway: Gateway) -> None:
    files = [(name, (PICTURES / name).read_bytes()) for name in _NAMES]
    frontend = await set_up(gateway, _ONTOLOGY, files)
    model = await frontend.model("object_detection")
    before = await inferences(stack)
    wanted = {**await frontend.wanted(model, 0.5), "reuse": False}
    path = f"/v1/model-runs/{(await gateway.post(f'{frontend.path}/model-runs', wanted))['id']}"
    await until_ended(gateway, path)
    made = await inferences(stack)
    assert made != before, "the run itself asked the model"
    sure = {(one["id"], one["confidence"]) async for one in gateway.pages(f"{path}/pre-labels")}

    changed = await gateway.patch(f"{path}/alignment", {"threshold": 0.1}, await gateway.etag(f"{path}/alignment"))
    assert changed["version"] == 2
    more = {(one["id"], one["confidence"]) async for one in gateway.pages(f"{path}/pre-labels")}
    assert sure < more
    assert min(confidence for _, confidence in more) < 0.5
    for one in (await gateway.get(f"{path}/ledger"))["classes"]:
        assert one["raw"] == one["shown"] + sum(one["dropped"].values())
    back = await gateway.patch(f"{path}/alignment", {"threshold": 0.5}, '"2"')
    assert back["version"] == 3
    assert {(one["id"], one["confidence"]) async for one in gateway.pages(f"{path}/pre-labels")} == sure
    assert await inferences(stack) == made
