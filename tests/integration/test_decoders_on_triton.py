"""Cards of models that are no part of the catalog, from stored content to stored detections, on the real Triton.

The graphs are small and made here, so that what must come out is known to the pixel.
"""

import io
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from onnx import helper, numpy_helper
from PIL import Image
from pycocotools import mask as coco

from shared.database.engine import Sessions
from shared.database.tables import DetectionRow
from shared.model_card import BuiltModel, ModelCard
from shared.model_files import model_file_key
from shared.object_store import ObjectStore
from tests.support.cards import card
from tests.support.loaded_models import graph, loaded
from tests.support.tokenizers import WORDS, word_pieces
from tests.support.workers import until_ended, working
from tests.support.world import World, make_world

COLOURS = ("red", "green", "blue")
RED, GREEN, BLUE = (240, 10, 20), (5, 200, 30), (30, 40, 220)
PIXELS = {"datatype": "FP32", "layout": "nchw", "scale": 1 / 255}
SIDE = 64


def constant(name: str, array: Any) -> Any:
    return numpy_helper.from_array(np.asarray(array), name)


def picture(*stripes: tuple[int, int, int], size: tuple[int, int] = (160, 80)) -> bytes:
    """Upright stripes of equal width."""
    image, width = Image.new("RGB", size), size[0] // len(stripes)
    for number, colour in enumerate(stripes):
        image.paste(
            colour, (number * width, 0, size[0] if number == len(stripes) - 1 else (number + 1) * width, size[1])
        )
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def of_images(slug: str, kind: str, output: dict[str, Any], **changes: Any) -> ModelCard:
    wanted: dict[str, Any] = {
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [3, -1, -1]}],
        "outputs": [output],
        "preprocessing": {"kind": "letterbox", "width": SIDE, "height": SIDE, "pixels": PIXELS},
    }
    return card(slug, kind, COLOURS, **{**wanted, **changes})


def sees_colours(layout: str, channels: str) -> tuple[ModelCard, bytes]:
    """One box, whose class scores are the means of the picture's channels in the middle of the letterbox."""
    numbers = {"v5": 8, "v8": 7}[layout]
    shape = [1, numbers] if layout == "v5" else [numbers, 1]
    made = of_images(
        f"colours-{layout}-{channels}",
        "bounding_box",
        {"name": "output0", "datatype": "FP32", "shape": shape},
        preprocessing={"kind": "letterbox", "width": SIDE, "height": SIDE, "pixels": {**PIXELS, "channels": channels}},
        decoder={"name": "yolo", "parameters": {"layout": layout}},
    )
    box = [16, 32, 16, 16] + ([1] if layout == "v5" else [])
    # The picture lies between the rows 16 and 48 of the letterbox.
    nodes = [
        helper.make_node("Slice", ["images", "first", "last", "rows"], ["middle"]),
        helper.make_node("ReduceMean", ["middle"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["means", "order"], ["scores"], axis=1),
        helper.make_node("Shape", ["scores"], ["batch"], end=1),
        helper.make_node("Concat", ["batch", "width"], ["wanted"], axis=0),
        helper.make_node("Expand", ["box", "wanted"], ["boxes"]),
        helper.make_node("Concat", ["boxes", "scores"], ["flat"], axis=1),
        helper.make_node("Reshape", ["flat", "shape"], ["output0"]),
    ]
    constants = [
        constant("first", np.array([16])),
        constant("last", np.array([48])),
        constant("rows", np.array([2])),
        constant("order", np.array([0, 1, 2] if channels == "rgb" else [2, 1, 0])),
        constant("width", np.array([len(box)])),
        constant("box", np.array([box], np.float32)),
        constant("shape", np.array([-1, *shape])),
    ]
    return made, graph(made, nodes, constants)


async def run(world: World, built: BuiltModel, *rows: Any) -> list[list[DetectionRow]]:
    """The detections of each row, surest first, of a run that went well."""
    run_id = await world.start_run(built, await world.add_model(built), rows, segment_size=8)
    async with working(world):
        assert await until_ended(world, run_id) == "completed"
    found = await world.detections(run_id)
    return [sorted((one for one in found if one.data_row_id == row), key=lambda one: one.ordinal) for row in rows]


@pytest.mark.parametrize(("layout", "channels"), [("v8", "rgb"), ("v5", "bgr")])
async def test_a_raw_head(
    sessions: Sessions, object_store_url: str, triton_url: str, layout: str, channels: str
) -> None:
    world = await make_world(sessions, ObjectStore(object_store_url))
    colours = [RED, GREEN, BLUE, BLUE, RED]
    rows = [await world.add_image(f"{n}.png", picture(colour)) for n, colour in enumerate(colours)]
    made, file = sees_colours(layout, channels)
    async with loaded(triton_url, made, file) as built:
        found = await run(world, built, *rows)
    for colour, (one,) in zip(colours, found, strict=True):
        assert one.model_class == COLOURS[colour.index(max(colour))]
        assert one.confidence == pytest.approx(max(colour) / 255, abs=1e-4)
        # 16 x 16 about (16, 32) in 64 x 64, where 160 x 80 lies from row 16 on at 0.4 of its size.
        expected = {"kind": "bounding_box", "left": 20, "top": 20, "width": 40, "height": 40}
        assert {key: value for key, value in one.annotation.items() if value is not None} == expected


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
async def test_a_mask_for_each_colour(sessions: Sessions, object_store_url: str, triton_url: str) -> None:
    world = await make_world(sessions, ObjectStore(object_store_url))
    made = of_images(
        "paints-colours",
        "mask",
        {"name": "masks", "datatype": "FP32", "shape": [3, -1, -1]},
        task="semantic_segmentation",
        decoder={"name": "semantic_mask"},
    )
    file = graph(made, [helper.make_node("Identity", ["images"], ["masks"])])
    row = await world.add_image("stripes.png", picture(RED, BLUE))
    async with loaded(triton_url, made, file) as built:
        (found,) = await run(world, built, row)
    assert [(one.model_class, round(one.confidence, 2)) for one in found] == [("red", 0.94), ("blue", 0.86)]
    for one, columns in zip(found, (slice(0, 80), slice(80, 160)), strict=True):
        rle = {"size": one.annotation["size"], "counts": one.annotation["counts"].encode()}
        expected = np.zeros((80, 160), bool)
        expected[:, columns] = True
        assert (np.asarray(coco.decode(rle), bool) == expected).mean() > 0.98
        assert one.area == pytest.approx(80 * 80, rel=0.04)


NUMBERS = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
LABELS = ["O", "B-person", "I-person", "B-place"]


def knows_names() -> tuple[ModelCard, bytes]:
    """A table from token numbers to logits."""
    text = {"datatype": "INT64", "shape": [-1]}
    made = card(
        "knows-names",
        "text_entity",
        ["person", "place"],
        media_type="text",
        task="named_entity_recognition",
        inputs=[{"name": "input_ids", **text}, {"name": "attention_mask", **text}],
        outputs=[{"name": "logits", "datatype": "FP32", "shape": [-1, len(LABELS)]}],
        preprocessing={"kind": "tokenized", "max_length": 32},
        decoder={"name": "token_classification", "parameters": {"labels": LABELS, "strategy": "first"}},
    )
    table = np.zeros((len(NUMBERS), len(LABELS)), np.float32)
    labels = {"ada": 1, "charles": 1, "love": 2, "bab": 2, "london": 3}
    for word, number in NUMBERS.items():
        table[number, labels.get(word, 0)] = 6
    table[NUMBERS["##lace"], 3] = 9  # by itself it would be a place
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["all"]),
        helper.make_node("Cast", ["attention_mask"], ["seen"], to=1),
        helper.make_node("Unsqueeze", ["seen", "last"], ["column"]),
        helper.make_node("Mul", ["all", "column"], ["logits"]),
    ]
    return made, graph(made, nodes, [constant("table", table), constant("last", np.array([-1]))])


async def test_entities_of_texts(sessions: Sessions, object_store_url: str, triton_url: str) -> None:
    world = await make_world(sessions, ObjectStore(object_store_url), "text")
    texts = [
        "👩 Ada Lovelace met  CHARLES Babbage in London.",
        "",
        "in the",
        "a " * 40 + "London",
        "a " * 20 + "London",
    ]
    rows = [await world.add_text(f"row-{n}", text) for n, text in enumerate(texts)]
    made, file = knows_names()
    async with loaded(triton_url, made, file, tokenizer=word_pieces()) as built:
        found = await run(world, built, *rows)
    spans = [
        [(one.model_class, text[one.annotation["start"] : one.annotation["end"]]) for one in row]
        for text, row in zip(texts, found, strict=True)
    ]
    assert sorted(spans[0]) == [("person", "Ada Lovelace"), ("person", "CHARLES Babbage"), ("place", "London")]
    assert spans[1:] == [[], [], [], [("place", "London")]], "what lies behind 32 tokens is not read"


def lose(object_store_url: str, key: str) -> None:
    Path(urlsplit(object_store_url).path, key).unlink()


async def test_a_model_whose_tokenizer_is_gone_fails_its_run(
    sessions: Sessions, object_store_url: str, triton_url: str
) -> None:
    world = await make_world(sessions, ObjectStore(object_store_url), "text")
    row = await world.add_text("row", "Ada")
    made, file = knows_names()
    async with loaded(triton_url, made, file, tokenizer=word_pieces()) as built:
        run_id = await world.start_run(built, await world.add_model(built), [row])
        lose(object_store_url, model_file_key(built.digest, "tokenizer.json"))
        async with working(world):
            assert await until_ended(world, run_id) == "failed"
    assert "tokenizer.json" in ((await world.run(run_id)).state_reason or "")
