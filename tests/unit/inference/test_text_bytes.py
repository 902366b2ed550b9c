"""Texts as bytes: what is padded, and where a long text is cut."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.inputs import prepare_batch
from services.inference.inputs.content import Content
from services.inference.served_model import ServedModel
from shared.preprocessing import TextBytes
from shared.tensors import Tensor
from tests.support.decoder_samples import sample_card, served

TEXT = Tensor(name="text", datatype="UINT8", shape=(-1,))
LENGTH = Tensor(name="length", datatype="INT32", shape=(1,))


def model(max_bytes: int = 64) -> ServedModel:
    inputs = [tensor.model_dump() for tensor in (TEXT, LENGTH)]
    how = {"kind": "text_bytes", "max_bytes": max_bytes}
    return served(sample_card("text_entity", "entities", media_type="text", inputs=inputs, preprocessing=how))


def seen(text: str, max_bytes: int = 64) -> tuple[str, int | None, int]:
    """What the model gets of it, where that ends if it is not the whole, and the length of the row."""
    content = Content(UUID(int=0), text.encode(), b"", first_read=False)
    (batch,) = prepare_batch(model(max_bytes), [content]).batches()
    row, count = batch.tensors["text"][0], int(batch.tensors["length"][0, 0])
    assert not row[count:].any(), "padded with zeros"
    placement = batch.rows[0].placement
    assert placement.canvas.length == len(text)
    return row[:count].tobytes().decode(), placement.read_to, len(row)


@pytest.mark.parametrize(
    ("text", "length"),
    [("", 64), ("a", 64), ("x" * 64, 64), ("x" * 65, 128), ("😀" * 33, 256), ("e\u0301" * 20, 64), ("a\0b", 64)],
)
def test_the_whole_text_in_a_row_of_a_power_of_two(text: str, length: int) -> None:
    assert seen(text, 256) == (text, None, length)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"{'x' * 60} York", "x" * 60),
        (f"{'x' * 59} York", f"{'x' * 59} York"),
        (f"{'x' * 59} Yorkshire", "x" * 59),
        ("x" * 70, "x" * 64),
        ("😀" * 17, "😀" * 16),
        (f"{'😀' * 10} {'é' * 30}", "😀" * 10),
    ],
)
def test_a_long_text_ends_before_the_word_that_does_not_fit(text: str, kept: str) -> None:
    assert seen(text)[:2] == (kept, None if kept == text else len(kept))


@given(st.text(max_size=200))
def test_what_is_read_is_the_beginning(text: str) -> None:
    kept, read_to, _ = seen(text)
    assert text.startswith(kept)
    assert len(kept.encode()) <= 64
    assert read_to == (len(kept) if len(kept) < len(text) else None)


def test_texts_of_a_like_length_make_one_batch() -> None:
    texts = ["one", "another", "x" * 100, "third"]
    contents = [Content(UUID(int=n), text.encode(), b"", first_read=False) for n, text in enumerate(texts)]
    batches = prepare_batch(model(256), contents).batches()
    assert [[row.content.data_row_id.int for row in batch.rows] for batch in batches] == [[0, 1, 3], [2]]
    assert [batch.tensors["length"].ravel().tolist() for batch in batches] == [[3, 7, 5], [100]]


def test_the_card_must_have_both_inputs() -> None:
    how = TextBytes()
    assert how.problem([TEXT, LENGTH]) is None
    assert how.problem([LENGTH, TEXT]) is None
    short = Tensor(name="text", datatype="UINT8", shape=(100,))
    for inputs in ([TEXT], [TEXT, TEXT], [short, LENGTH], [TEXT, LENGTH, LENGTH]):
        assert how.problem(inputs)
