"""From bytes to a batch's memory, and the way back for what the model says."""

import io
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from services.inference.failures import RowFailed
from services.inference.inputs import center_crop, encoded_image, letterbox, plain_text, prepare_batch, stretch
from services.inference.inputs.content import Content
from services.inference.inputs.image import decode_image
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from shared.annotations import Canvas
from shared.model_card import ModelCard
from shared.preprocessing import CenterCrop, EncodedImage, Letterbox, PlainText, Stretch
from tests.unit.shared.test_model_card import card

BOX = Letterbox(width=64, height=64, fill=114)
CROP = CenterCrop(size=32, fraction=0.5)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def marked(width: int, height: int, at: tuple[int, int], side: int) -> Image.Image:
    """Black with one white square."""
    image = Image.new("RGB", (width, height))
    image.paste(WHITE, (*at, at[0] + side, at[1] + side))
    return image


def boxed(body: bytes, how: Letterbox = BOX) -> tuple[NDArray[np.uint8], Placement]:
    slot = np.zeros((how.height, how.width, 3), np.uint8)
    placement, _ = letterbox.prepare(how, body, slot)
    return slot, placement


def cropped(body: bytes, how: CenterCrop = CROP) -> tuple[NDArray[np.uint8], Placement]:
    slot = np.zeros((how.size, how.size, 3), np.uint8)
    placement, _ = center_crop.prepare(how, body, slot)
    return slot, placement


def centre(slot: NDArray[np.uint8]) -> tuple[float, float]:
    """Of what is bright, in model pixels."""
    bright = slot.mean(axis=2) * (slot.min(axis=2) > 160)
    total = bright.sum()
    rows, columns = np.indices(bright.shape)
    return float((columns * bright).sum() / total + 0.5), float((rows * bright).sum() / total + 0.5)


# --- placement ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (640, 480), (48, 30), (64, 64), (3000, 500)])
def test_letterbox_leads_back_to_the_image(size: tuple[int, int]) -> None:
    width, height = size
    side = max(8, min(size) // 4)
    at = (width // 2 + side // 2, height // 4)
    slot, placement = boxed(saved(marked(width, height, at, side), "JPEG", quality=95))
    x, y = placement.to_image(*centre(slot))
    pixel = max(width, height) / 64
    assert abs(x - (at[0] + side / 2)) < pixel
    assert abs(y - (at[1] + side / 2)) < pixel


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (640, 480), (40, 30), (2000, 1500)])
def test_center_crop_leads_back_to_the_image(size: tuple[int, int]) -> None:
    width, height = size
    side = max(4, min(size) // 8)
    at = (width // 2 + side // 2, height // 2 - side)
    slot, placement = cropped(saved(marked(width, height, at, side), "JPEG", quality=95))
    x, y = placement.to_image(*centre(slot))
    pixel = min(width, height) / 64 + 0.5
    assert abs(x - (at[0] + side / 2)) < pixel
    assert abs(y - (at[1] + side / 2)) < pixel


def test_letterbox_fills_what_is_left() -> None:
    slot, placement = boxed(saved(Image.new("RGB", (200, 100), RED)))
    assert (slot[:16] == 114).all()
    assert (slot[48:] == 114).all()
    assert (slot[16:48] == RED).all()
    assert placement.to_image(0, 16) == (0, 0)
    assert placement.to_image(64, 48) == (200, 100)


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.tuples(st.floats(0, 500), st.floats(0, 500)),
)
def test_to_image_undoes_the_placement(width: int, height: int, dx: float, dy: float, at: tuple[float, float]) -> None:
    placement = Placement(Canvas(), width / 416, height / 416, dx, dy)
    model = at[0] * placement.scale_x + dx, at[1] * placement.scale_y + dy
    assert placement.to_image(*model) == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_extreme_shapes_fill_the_slot(size: tuple[int, int]) -> None:
    body = saved(Image.new("RGB", size, RED))
    slot, placement = boxed(body)
    assert (slot == RED).all(axis=2).any()
    assert (placement.canvas.width, placement.canvas.height) == size
    assert (cropped(body)[0] == RED).all()


def test_a_letterbox_may_begin_at_the_top_left() -> None:
    how = Letterbox(width=64, height=64, fill=114, align="top_left")
    slot, placement = boxed(saved(Image.new("RGB", (200, 100), RED)), how)
    assert (slot[:32] == RED).all()
    assert (slot[32:] == 114).all()
    assert placement.to_image(0, 0) == (0, 0)
    assert placement.to_image(64, 32) == (200, 100)


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (640, 480), (40, 30), (1, 300)])
def test_stretching_leads_back_to_the_image(size: tuple[int, int]) -> None:
    width, height = size
    how = Stretch(width=64, height=32)
    slot = np.zeros((32, 64, 3), np.uint8)
    image = Image.new("RGB", size)
    image.paste(WHITE, (width // 2, height // 2, width, height))
    placement, _ = stretch.prepare(how, saved(image), slot)
    assert placement.to_image(0, 0) == (0, 0)
    assert placement.to_image(64, 32) == pytest.approx(size)
    if width > 1:
        assert (slot[20:, 36:] > 200).all()
        assert (slot[:14, :28] < 50).all()


# --- the form of pixels ---------------------------------------------------------------------------------------------

IMAGENET = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("datatype", ["UINT8", "FP16", "FP32"])
@pytest.mark.parametrize("numbers", [{}, {"scale": 1 / 255}, IMAGENET, {"mean": (104, 117, 123)}])
@pytest.mark.parametrize("kind", ["letterbox", "top_left", "stretch", "center_crop"])
def test_pixels_are_in_the_form_of_the_card(
    layout: str, channels: str, datatype: str, numbers: dict[str, Any], kind: str
) -> None:
    if datatype == "UINT8" and numbers:
        return
    how: dict[str, Any] = {"kind": kind, "width": 16, "height": 12}
    if kind == "top_left":
        how |= {"kind": "letterbox", "align": "top_left", "fill": 114}
    if kind == "center_crop":
        how = {"kind": kind, "size": 16}
    noise = Image.effect_noise((40, 20), 90).convert("RGB")
    noise.putpixel((0, 0), (1, 2, 3))
    contents = [content(n, saved(image)) for n, image in enumerate((noise, Image.new("RGB", (9, 9), (200, 100, 50))))]
    plain, formed = (
        pixels_of({**how, "pixels": form}, contents)
        for form in ({}, {"layout": layout, "channels": channels, "datatype": datatype, **numbers})
    )
    expected = plain.astype(float)[..., :: 1 if channels == "rgb" else -1]
    if datatype != "UINT8":
        expected = (expected * numbers.get("scale", 1) - numbers.get("mean", (0, 0, 0))) / numbers.get("std", (1, 1, 1))
    if layout == "nchw":
        expected = expected.transpose(0, 3, 1, 2)
    assert formed.shape == expected.shape
    assert formed.dtype == {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32}[datatype]
    assert formed.astype(float) == pytest.approx(expected, rel=2e-3, abs=2e-3 if datatype == "FP16" else 1e-4)


def pixels_of(how: dict[str, Any], contents: list[Content]) -> NDArray[Any]:
    form = how["pixels"]
    shape = [-1, -1, 3] if form.get("layout", "nhwc") == "nhwc" else [3, -1, -1]
    inputs = [{"name": "x", "datatype": form.get("datatype", "UINT8"), "shape": shape}]
    (batch,) = prepare_batch(ServedModel.closed(card(preprocessing=how, inputs=inputs)), contents).batches()
    return np.asarray(batch.tensors["x"])


# --- orientation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    # Where the top left corner of the stored pixels is in the picture as it is seen, 200 x 100 stored.
    [
        (1, (0, 0)),
        (2, (200, 0)),
        (3, (200, 100)),
        (4, (0, 100)),
        (5, (0, 0)),
        (6, (100, 0)),
        (7, (100, 200)),
        (8, (0, 200)),
    ],
)
def test_boxes_lie_in_the_picture_as_it_is_seen(kind: str, orientation: int, corner: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    slot, placement = boxed(saved(marked(200, 100, (0, 0), 24), kind, exif=exif))
    assert (placement.canvas.width, placement.canvas.height) == ((200, 100) if orientation < 5 else (100, 200))
    x, y = placement.to_image(*centre(slot))
    assert abs(x - abs(corner[0] - 12)) < 4
    assert abs(y - abs(corner[1] - 12)) < 4


# --- kinds of images ------------------------------------------------------------------------------------------------


def kinds() -> Iterator[tuple[str, bytes]]:
    half = Image.new("RGB", (80, 40), RED)
    half.paste(BLUE, (40, 0, 80, 40))
    yield "jpeg", saved(half, "JPEG", quality=95)
    yield "progressive", saved(half, "JPEG", quality=95, progressive=True)
    yield "mpo", saved(half, "MPO", quality=95, save_all=True, append_images=[half])
    yield "cmyk", saved(half.convert("CMYK"), "JPEG", quality=95)
    yield "png", saved(half)
    yield "palette", saved(half.convert("P", palette=Image.Palette.ADAPTIVE))
    yield "alpha", saved(half.convert("RGBA"))
    yield "gif", saved(half, "GIF")
    yield "animated", saved(half, "GIF", save_all=True, append_images=[Image.new("RGB", (80, 40), GREEN)])
    yield "webp", saved(half, "WEBP", lossless=True)
    yield "bmp", saved(half, "BMP")
    yield "tiff", saved(half, "TIFF")
    yield "pages", saved(half, "TIFF", save_all=True, append_images=[Image.new("RGB", (10, 10))])


KINDS = dict(kinds())


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_image_becomes_rgb(name: str) -> None:
    pixels, header = decode_image(KINDS[name], 1000)
    assert pixels.shape == (40, 80, 3)
    assert pixels.dtype == np.uint8
    assert (header.width, header.height) == (80, 40)
    assert np.abs(pixels[20, 10].astype(int) - RED).max() < 16
    assert np.abs(pixels[20, 70].astype(int) - BLUE).max() < 16


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_gray_becomes_rgb(mode: str) -> None:
    gray = Image.fromarray(np.full((40, 80), 200, np.uint8)).convert("L")
    deep = Image.fromarray(np.full((40, 80), 200 * 257, np.uint16))
    pixels, _ = decode_image(saved(deep if mode == "I;16" else gray.convert(mode)), 1000)
    assert pixels.shape == (40, 80, 3)
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert mode == "1" or abs(int(pixels[0, 0, 0]) - 200) < 3


@pytest.mark.parametrize("wanted", [10, 40, 100, 500])
def test_no_more_is_decoded_than_is_needed(wanted: int) -> None:
    pixels, header = decode_image(saved(Image.new("RGB", (800, 400), RED), "JPEG"), wanted)
    assert (header.width, header.height) == (800, 400)
    assert min(pixels.shape[:2]) >= min(wanted, 400)
    assert min(pixels.shape[:2]) < max(2 * wanted, 401)


@pytest.mark.parametrize("kind", ["baseline", "progressive"])
@pytest.mark.parametrize("behind", [b"\xff\xda", b"\xff\xda\xff\xd9\xff\xda", random.Random(7).randbytes(2_000_000)])
def test_what_lies_behind_a_jpeg_is_not_looked_at(kind: str, behind: bytes) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((160, 120), 90).convert("RGB").save(buffer, "JPEG", progressive=kind == "progressive")
    assert decode_image(buffer.getvalue() + behind, 1000)[0].shape == (120, 160, 3)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
def test_half_a_file_fails(name: str, kept: float) -> None:
    noise = Image.effect_noise((160, 120), 90).convert({"cmyk": "CMYK", "palette": "P"}.get(name, "RGB"))
    kind = {"mpo": "JPEG", "cmyk": "JPEG", "progressive": "JPEG", "animated": "GIF", "pages": "TIFF"}.get(name, name)
    whole = saved(noise, kind.upper() if kind not in {"palette", "alpha"} else "PNG")
    assert decode_image(whole, 1000)[0].shape == (120, 160, 3)
    with pytest.raises(RowFailed) as failed:
        decode_image(whole[: int(len(whole) * kept)], 1000)
    assert (failed.value.stage, failed.value.code) == ("decode", "undecodable_image")


@pytest.mark.parametrize("body", [b"", b"words", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_fails_with_its_reason(body: bytes) -> None:
    with pytest.raises(RowFailed) as failed:
        decode_image(body, 100)
    assert (failed.value.stage, failed.value.code) == ("decode", "not_an_image")


@given(st.sampled_from([*KINDS.values()]), st.integers(0, 4000), st.binary(min_size=1, max_size=30))
def test_damage_fails_a_row_or_nothing(body: bytes, at: int, damage: bytes) -> None:
    broken = bytearray(body)
    place = at % len(broken)
    broken[place : place + len(damage)] = damage
    slot = np.zeros((64, 64, 3), np.uint8)
    try:
        letterbox.prepare(BOX, bytes(broken), slot)
    except RowFailed as failed:
        assert failed.stage == "decode"  # noqa: PT017 - either is right


# --- batches --------------------------------------------------------------------------------------------------------


def content(number: int, body: bytes) -> Content:
    return Content(UUID(int=number), body, bytes(32), first_read=True)


def test_a_bad_row_leaves_no_gap_in_the_batch() -> None:
    colours = [RED, GREEN, BLUE]
    bodies = [saved(Image.new("RGB", (64, 64), colour)) for colour in colours]
    contents = [content(0, b"no"), *(content(n, body) for n, body in enumerate(bodies, 1)), content(4, b"")]
    prepared = prepare_batch(ServedModel.closed(card()), contents)
    (batch,) = prepared.batches()
    assert batch.tensors["images"].shape == (3, 64, 64, 3)
    for row, colour, pixels in zip(batch.rows, colours, batch.tensors["images"], strict=True):
        assert (pixels == colour).all()
        assert (row.facts.mime_type, row.facts.width, row.facts.height) == ("image/png", 64, 64)
    assert [row.content.data_row_id.int for row in batch.rows] == [1, 2, 3]
    assert [(bad.data_row_id.int, error.code) for bad, error in prepared.failed] == [
        (0, "not_an_image"),
        (4, "not_an_image"),
    ]


def test_a_batch_of_bad_rows_is_empty() -> None:
    prepared = prepare_batch(ServedModel.closed(card()), [content(0, b"no")])
    assert (len(prepared.batches()), len(prepared.failed)) == (0, 1)


def reader() -> ModelCard:
    return card(
        media_type="text",
        task="text_classification",
        annotation_kind="classification",
        inputs=[{"name": "text", "datatype": "BYTES", "shape": [1]}],
        preprocessing={"kind": "plain_text"},
    )


def test_texts_keep_their_bytes_and_count_code_points() -> None:
    texts = ["words", "", "naïve 👩‍🚀"]
    prepared = prepare_batch(ServedModel.closed(reader()), [content(n, text.encode()) for n, text in enumerate(texts)])
    (batch,) = prepared.batches()
    assert batch.tensors["text"].shape == (3, 1)
    assert [bytes(row[0]).decode() for row in batch.tensors["text"]] == texts
    assert [row.facts.length for row in batch.rows] == [len(text) for text in texts]
    assert batch.rows[2].placement.canvas.length == len(texts[2])


@pytest.mark.parametrize(
    ("body", "code"), [(b"\xff\xfe", "undecodable_text"), (b"x" * (plain_text.MAX_BYTES + 1), "text_too_long")]
)
def test_texts_that_cannot_be_read_fail(body: bytes, code: str) -> None:
    with pytest.raises(RowFailed) as failed:
        plain_text.prepare(PlainText(), body, np.empty((1,), object))
    assert failed.value.code == code


def test_an_encoded_picture_stays_as_it_is_unless_exif_turns_it() -> None:
    slot = np.empty((1,), np.object_)
    upright = saved(marked(60, 40, (0, 0), 20), "JPEG", quality=95)
    placement, _ = encoded_image.prepare(EncodedImage(), upright, slot)
    assert slot[0] == upright
    assert placement.canvas == Canvas(width=60, height=40)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    turned = saved(marked(60, 40, (0, 0), 20), "JPEG", quality=95, exif=exif)
    placement, facts = encoded_image.prepare(EncodedImage(), turned, slot)
    assert placement.canvas == Canvas(width=40, height=60)
    assert (facts.byte_size, facts.width, facts.height) == (len(turned), 40, 60), "of what is stored"
    with Image.open(io.BytesIO(slot[0])) as seen:
        assert seen.size == (40, 60)
        assert seen.getexif().get(0x0112) is None
        pixels = np.asarray(seen)
    assert pixels[10, 30].min() > 200, "the white corner is at the top right now"
    assert pixels[10, 10].max() < 50


@pytest.mark.parametrize("body", [b"no picture", saved(Image.new("RGB", (60, 40)), "JPEG")[:-40]])
def test_a_picture_that_is_cut_is_not_sent(body: bytes) -> None:
    with pytest.raises(RowFailed):
        encoded_image.prepare(EncodedImage(), body, np.empty((1,), np.object_))
