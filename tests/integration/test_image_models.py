"""What the image models of the catalog find, through the real Triton and a worker."""

import io
from uuid import UUID

import pytest
from PIL import Image, ImageDraw, ImageFont
from shapely import Point

from shared.alignment import AlignmentEntry
from shared.annotations import ANNOTATION, BoundingBox, FeatureType, Mask, Polygon
from shared.database.tables import DetectionRow
from tests.support.servers import MODELS, PICTURES
from tests.support.workers import until_ended, working
from tests.support.world import World, built_models


async def found(
    world: World, slug: str, pictures: dict[str, bytes], entries: tuple[AlignmentEntry, ...] = ()
) -> dict[str, list[DetectionRow]]:
    """What a run of the model says of each picture, surest first."""
    rows: dict[UUID, str] = {await world.add_image(name, content): name for name, content in pictures.items()}
    built = built_models(MODELS)[slug]
    run_id = await world.start_run(built, await world.add_model(built), list(rows), entries=entries)
    async with working(world):
        assert await until_ended(world, run_id, 60) == "completed"
    answers: dict[str, list[DetectionRow]] = {name: [] for name in pictures}
    for detection in await world.detections(run_id):
        answers[rows[detection.data_row_id]].append(detection)
    return answers


def photographs(*names: str) -> dict[str, bytes]:
    return {name: (PICTURES / name).read_bytes() for name in names}


def sure(detections: list[DetectionRow], threshold: float) -> list[DetectionRow]:
    return [detection for detection in detections if detection.confidence >= threshold]


def within(inner: dict[str, float], left: float, top: float, right: float, bottom: float) -> bool:
    """Whether the middle of a box lies in these bounds."""
    x, y = inner["left"] + inner["width"] / 2, inner["top"] + inner["height"] / 2
    return left <= x <= right and top <= y <= bottom


def words(detection: DetectionRow) -> str:
    """What it reads, without spaces."""
    assert detection.attributes is not None
    return str(detection.attributes["text"]).replace(" ", "")


async def test_the_second_detector_finds_the_same_things(image_world: World) -> None:
    answers = await found(image_world, "detect-ssdlite", photographs("astronaut.png", "chelsea.png", "coffee.png"))
    classes = {name: {one.model_class for one in sure(some, 0.5)} for name, some in answers.items()}
    assert "person" in classes["astronaut.png"]
    assert classes["chelsea.png"] == {"cat"}
    assert "cup" in classes["coffee.png"]
    (cat,) = sure(answers["chelsea.png"], 0.5)  # overlapping boxes have become one
    assert cat.annotation["width"] > 300


async def test_faces_are_found_where_they_are(image_world: World) -> None:
    answers = await found(image_world, "detect-faces", photographs("astronaut.png", "grace_hopper.jpg", "flower.jpg"))
    (astronaut,) = sure(answers["astronaut.png"], 0.7)
    assert within(astronaut.annotation, 200, 100, 250, 150)
    assert 80 < astronaut.annotation["width"] < 160
    (hopper,) = sure(answers["grace_hopper.jpg"], 0.7)
    assert within(hopper.annotation, 200, 150, 320, 280)
    assert sure(answers["flower.jpg"], 0.7) == []


def written(*lines: str) -> bytes:
    """A white page with these lines on it."""
    page = Image.new("RGB", (700, 60 + 70 * len(lines)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=36)
    for place, line in enumerate(lines):
        draw.text((40, 40 + 70 * place), line, "black", font)
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


async def test_written_words_are_read(image_world: World) -> None:
    lines = ("Invoice 2024-117", "Total 38.50 EUR")
    answers = await found(image_world, "read-text", {"page": written(*lines), **photographs("chelsea.png")})
    texts = sorted(sure(answers["page"], 0.7), key=lambda one: one.annotation["top"])
    assert [words(one) for one in texts] == [line.replace(" ", "") for line in lines]
    assert [one.model_class for one in texts] == ["text", "text"]
    for place, one in enumerate(texts):
        assert within(one.annotation, 60, 40 + 70 * place, 400, 90 + 70 * place)
    assert sure(answers["chelsea.png"], 0.7) == []


async def test_a_person_becomes_a_mask_and_the_mask_a_polygon_or_a_box(image_world: World) -> None:
    answers = await found(image_world, "segment-person", photographs("astronaut.png", "china.jpg"))
    assert answers["china.jpg"] == []
    (person,) = answers["astronaut.png"]
    assert person.model_class == "person"
    mask = ANNOTATION.validate_python(person.annotation)
    assert isinstance(mask, Mask)
    assert mask.size == (512, 512)
    assert 0.45 < (person.area or 0) / 512**2 < 0.65
    polygon, box = (mask.convert(kind) for kind in (FeatureType.POLYGON, FeatureType.BOUNDING_BOX))
    assert isinstance(polygon, Polygon)
    assert polygon.area() == pytest.approx(mask.area(), rel=0.01)
    areas = polygon.geometry()
    assert areas.contains(Point(225, 130)), "her face"
    assert areas.contains(Point(250, 400)), "her suit"
    assert not areas.contains(Point(40, 40)), "the flag behind her"
    assert isinstance(box, BoundingBox)
    assert box.left < 60
    assert box.top < 40
