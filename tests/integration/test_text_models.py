"""The catalog's models for texts, through the real Triton and a real worker: what is found, and where."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np
import pytest

from services.inference.failures import ModelRejected
from services.inference.triton import Triton
from shared.database.tables import DetectionRow
from tests.support.servers import MODELS
from tests.support.workers import until_ended, working
from tests.support.world import World, built_models

OFFENSIVE, ENTITIES, CRITERIA = "text-offensive", "entities-spacy", "embed-minilm"


async def found(
    world: World, slug: str, texts: Sequence[str], criteria: Mapping[str, str] | None = None
) -> list[list[DetectionRow]]:
    """What a run of the model finds in each text, surest first."""
    built = built_models(MODELS)[slug]
    rows = [await world.add_text(f"text-{number}", text) for number, text in enumerate(texts)]
    run_id = await world.start_run(built, await world.add_model(built), rows, criteria=criteria)
    async with working(world):
        assert await until_ended(world, run_id) == "completed", (await world.run(run_id)).state_reason
    by_row: dict[UUID, list[DetectionRow]] = {row: [] for row in rows}
    for detection in await world.detections(run_id):
        by_row[detection.data_row_id].append(detection)
    return list(by_row.values())


def confidence(detections: Sequence[DetectionRow], model_class: str) -> float:
    """Nothing is stored under the floor."""
    return next((one.confidence for one in detections if one.model_class == model_class), 0.0)


def entities(text: str, detections: Sequence[DetectionRow]) -> set[tuple[str, str]]:
    """What stands at the code points that were found, with its class."""
    return {(text[one.annotation["start"] : one.annotation["end"]], one.model_class) for one in detections}


async def test_offensive_texts_are_told_from_decent_ones(world: World) -> None:
    texts = {
        "you are a stupid idiot, go to hell": True,
        "WHAT THE FUCK is this shit": True,
        "have a nice day": False,
        "The committee approved the budget in the second reading.": False,
        "": False,
        "!!! 😀 ???": False,
    }
    results = await found(world, OFFENSIVE, list(texts))
    for (text, offensive), detections in zip(texts.items(), results, strict=True):
        assert (confidence(detections, "offensive") > 0.5) == offensive, text
        assert (confidence(detections, "not offensive") > 0.5) != offensive, text
        assert {one.annotation["kind"] for one in detections} <= {"classification"}
    # What the package itself says of this text: sklearn's predict_proba, by profanity_check 1.9.1.
    assert confidence(results[2], "offensive") == pytest.approx(0.05845, abs=1e-4)


ENTITY_TEXTS = {
    "Angela Merkel met Tim Cook in Cupertino on Monday.": {
        ("Angela Merkel", "PERSON"),
        ("Tim Cook", "PERSON"),
        ("Cupertino", "GPE"),
        ("Monday", "DATE"),
    },
    # Beyond the basic plane: one code point, two units of UTF-16, four bytes of UTF-8.
    "😀😀 Zoë Müller flew from Paris to New York on 3 May 2021.": {
        ("Zoë Müller", "PERSON"),
        ("Paris", "GPE"),
        ("New York", "GPE"),
        ("3 May 2021", "DATE"),
    },
    # The accent is a code point of its own.
    "In the cafe\u0301, Maria Schneider paid $40 to Toyota.": {("Maria Schneider", "PERSON"), ("Toyota", "ORG")},
    "Please close the window when you leave the kitchen.": set(),
    "": set(),
    " \n\t ": set(),
}


async def test_entities_lie_where_the_names_stand(world: World) -> None:
    results = await found(world, ENTITIES, list(ENTITY_TEXTS))
    for (text, expected), detections in zip(ENTITY_TEXTS.items(), results, strict=True):
        assert expected <= entities(text, detections), text
        if not expected:
            assert not detections
        assert all(0.05 <= one.confidence <= 1 for one in detections)


async def test_entities_of_a_text_do_not_depend_on_its_neighbours(world: World) -> None:
    (text, expected), *_ = ENTITY_TEXTS.items()
    filling = "Nothing happens here. "
    long, longer = f"{filling * 1400}{text}", f"{text} {filling * 1600}{text}"
    results = await found(world, ENTITIES, [text, long, longer, text])
    assert [entities(text, detections) for detections in (results[0], results[3])] == [expected] * 2
    assert {("Angela Merkel", "PERSON"), ("Cupertino", "GPE")} <= entities(long, results[1])
    assert {("Angela Merkel", "PERSON"), ("Cupertino", "GPE")} <= entities(longer, results[2])
    ends = [(one.annotation["end"], (one.attributes or {})["read_to"]) for one in results[2]]
    assert all(end <= len(text) and 32_000 < read_to <= 32_768 for end, read_to in ends), "the rest was not read"


async def test_bytes_that_are_no_text_cost_no_other_request(triton_url: str, world: World) -> None:
    built = built_models(MODELS)[ENTITIES]
    triton = Triton(triton_url, 20)
    broken, good = (np.frombuffer(text, np.uint8)[None] for text in (b"\xff\xfe Anna", b"Anna lives in Berlin"))
    lengths = [np.array([[array.size]], np.int32) for array in (broken, good)]
    with pytest.raises(ModelRejected, match="UTF-8"):
        await triton.infer(built.triton_name, built.card, {"text": broken, "length": lengths[0]})
    outputs = await triton.infer(built.triton_name, built.card, {"text": good, "length": lengths[1]})
    await triton.close()
    named = {built.card.classes[number] for number in outputs["classes"][0] if number >= 0}
    assert "GPE" in named


SUBJECTS = {
    "sports": "This text is about sports.",
    "Politics": "This text is about politics and government.",
    "computers": "This text is about computers and technology.",
    "cooking": "This text is about food and cooking.",
}
SUBJECT_TEXTS = {
    "The striker scored twice in the final minutes of the football match.": "sports",
    "Parliament voted on Tuesday to raise the taxes of the government's opponents.": "Politics",
    "The new laptop has a faster processor and more memory than the old one.": "computers",
    "Add two eggs, whisk them with flour and butter, and bake for half an hour.": "cooking",
}


async def test_the_criterion_that_fits_wins(world: World) -> None:
    results = await found(world, CRITERIA, [*SUBJECT_TEXTS, ""], SUBJECTS)
    for (text, subject), detections in zip(SUBJECT_TEXTS.items(), results, strict=False):
        assert detections[0].model_class == subject, text
        assert [one.model_class for one in detections if one.confidence > 0.35] == [subject], text
    assert {one.model_class for detections in results for one in detections} <= set(SUBJECTS)


async def test_a_text_longer_than_the_model_reads_says_so(world: World) -> None:
    (text, subject), *_ = SUBJECT_TEXTS.items()
    cut, whole = await found(world, CRITERIA, [f"{text} " * 40, text], SUBJECTS)
    assert cut[0].model_class == subject
    assert cut[0].attributes is not None
    assert len(text) < cut[0].attributes["read_to"] < len(text) * 40
    assert not whole[0].attributes
