"""A worker on real parts: what it finds, what it stores, and that one bad row costs no neighbour."""

from uuid import UUID

from shared.model_card import BuiltModel
from tests.support.servers import MODELS, PICTURES
from tests.support.workers import until_ended, working
from tests.support.world import World, built_models, entry

DETECTOR, CLASSIFIER = "detect-nanodet", "classify-efficientnet"


async def submitted(world: World, slug: str, rows: list[UUID], *classes: tuple[str, float]) -> tuple[UUID, BuiltModel]:
    built = built_models(MODELS)[slug]
    model_id = await world.add_model(built)
    entries = [entry(name, threshold) for name, threshold in classes]
    return await world.start_run(built, model_id, rows, entries=entries, segment_size=2), built


async def test_detector_finds_what_is_in_the_pictures(image_world: World) -> None:
    pictures = ("astronaut.png", "chelsea.png")
    rows = {name: await image_world.add_image(name, (PICTURES / name).read_bytes()) for name in pictures}
    run_id, _ = await submitted(image_world, DETECTOR, list(rows.values()), ("person", 0.35), ("cat", 0.35))
    async with working(image_world):
        assert await until_ended(image_world, run_id) == "completed"
    sure = [one for one in await image_world.detections(run_id) if one.confidence > 0.5]
    said = {(one.data_row_id, one.model_class) for one in sure}
    assert (rows["astronaut.png"], "person") in said
    assert (rows["chelsea.png"], "cat") in said
    person = next(one for one in sure if one.model_class == "person")
    # The astronaut fills most of the 512 x 512 picture.
    assert person.annotation["height"] > 350
    assert person.annotation["width"] > 250
    assert 0 <= person.annotation["left"] <= 512


async def test_classifier_names_the_picture(image_world: World) -> None:
    row = await image_world.add_image("coffee.png", (PICTURES / "coffee.png").read_bytes())
    run_id, _ = await submitted(image_world, CLASSIFIER, [row])
    async with working(image_world):
        assert await until_ended(image_world, run_id) == "completed"
    best = (await image_world.detections(run_id))[0]
    assert best.model_class in {"espresso", "cup", "coffee mug"}
    assert best.annotation == {"kind": "classification"}


async def test_a_bad_row_costs_no_neighbour(image_world: World) -> None:
    good = (PICTURES / "chelsea.png").read_bytes()
    jpeg = (PICTURES / "china.jpg").read_bytes()
    contents = {
        "good": good,
        "text": b"no image",
        "cut": jpeg[: len(jpeg) // 2],
        "cut png": good[:20_000],
        "also": jpeg,
    }
    rows = {name: await image_world.add_image(name, content) for name, content in contents.items()}
    run_id, _ = await submitted(image_world, DETECTOR, list(rows.values()), ("cat", 0.35))
    async with working(image_world):
        assert await until_ended(image_world, run_id) == "completed_with_errors"
    outcomes = {one.data_row_id: one for one in await image_world.outcomes(run_id)}
    assert {name for name, row in rows.items() if outcomes[row].state == "succeeded"} == {"good", "also"}
    assert outcomes[rows["text"]].code == "not_an_image"
    assert outcomes[rows["cut"]].code == "undecodable_image"
    assert outcomes[rows["cut png"]].code == "undecodable_image"
    assert all(outcomes[rows[name]].stage == "decode" for name in ("text", "cut", "cut png"))
    run = await image_world.run(run_id)
    assert (run.succeeded, run.failed, run.total) == (2, 3, 5)


async def test_events_are_gapless_and_end_with_the_terminal_one(image_world: World) -> None:
    row = await image_world.add_image("chelsea.png", (PICTURES / "chelsea.png").read_bytes())
    run_id, _ = await submitted(image_world, DETECTOR, [row], ("cat", 0.35))
    async with working(image_world):
        await until_ended(image_world, run_id)
    assert await image_world.event_types() == [
        (1, "model_run.queued"),
        (2, "model_run.started"),
        (3, "model_run.completed"),
    ]
