"""Texts as token numbers, and where each token lies in the text."""

from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from services.inference.failures import ModelUnusable
from services.inference.inputs import BatchPreparation, prepare_batch
from services.inference.inputs.content import Content
from services.inference.inputs.tokenized import open_tokenizer, padded_length
from services.inference.served_model import ServedModel
from shared.preprocessing import Tokenized
from tests.support.cards import card
from tests.support.tokenizers import with_settings, without_words, word_pieces

CLS, SEP, UNKNOWN, PAD = 2, 3, 1, 0


def model(tokenizer: bytes, length: int = -1, names: tuple[str, ...] = (), **preprocessing: Any) -> ServedModel:
    how = {"kind": "tokenized", **preprocessing}
    names = names or ("input_ids", "attention_mask")
    made = card(
        "reader",
        "text_entity",
        ["name"],
        media_type="text",
        task="named_entity_recognition",
        inputs=[{"name": name, "datatype": "INT64", "shape": [length]} for name in names],
        preprocessing=how,
    )
    return ServedModel.closed(made, open_tokenizer(tokenizer, Tokenized.model_validate(how)))


def prepared(served: ServedModel, *texts: str) -> BatchPreparation:
    contents = [Content(UUID(int=n), text.encode(), b"", first_read=True) for n, text in enumerate(texts)]
    return prepare_batch(served, contents)


def test_tokens_lie_where_they_are_in_the_text() -> None:
    text = "Ada  met Babbage. 👩‍🚀 naïve"
    (batch,) = prepared(model(word_pieces()), text).batches()
    placement = batch.rows[0].placement
    assert placement.tokens is not None
    assert placement.canvas.length == len(text)
    found = [
        (text[start:end], int(word))
        for start, end, word in zip(placement.tokens.starts, placement.tokens.ends, placement.tokens.words, strict=True)
    ]
    assert found[0] == found[-1] == ("", -1), "special tokens stand for nothing"
    words = [part for part, _ in found[1:-1]]
    assert [words[0], words[1], words[2], words[3], words[4]] == ["Ada", "met", "Bab", "bage", "."]
    assert words[-2:] == ["na", "ïve"]
    numbers = [number for _, number in found[1:-1]]
    assert numbers[2] == numbers[3] != numbers[4], "pieces of a word belong together"
    assert batch.rows[0].facts.length == len(text)


def test_inputs_are_padded_and_masked() -> None:
    names = ("input_ids", "attention_mask", "token_type_ids")
    served = model(word_pieces(), names=names, token_types="token_type_ids")
    (batch,) = prepared(served, "Ada met", "", "in London").batches()
    assert {name: tensor.shape for name, tensor in batch.tensors.items()} == dict.fromkeys(names, (3, 16))
    assert all(tensor.dtype == np.int64 for tensor in batch.tensors.values())
    assert batch.tensors["input_ids"][0].tolist() == [CLS, 4, 7, SEP, *[PAD] * 12]
    assert batch.tensors["attention_mask"].sum(axis=1).tolist() == [4, 2, 4]
    assert not batch.tensors["token_type_ids"].any()


def test_rows_of_a_like_length_share_a_batch() -> None:
    texts = ["a " * count for count in (1, 20, 3, 100, 25, 2)]
    batches = prepared(model(word_pieces(), max_length=64), *texts).batches()
    sizes = {batch.tensors["input_ids"].shape: [row.content.data_row_id.int for row in batch.rows] for batch in batches}
    assert sizes == {(3, 16): [0, 2, 5], (2, 32): [1, 4], (1, 64): [3]}


@given(st.integers(1, 9000), st.integers(4, 8192))
def test_padding_fits(tokens: int, max_length: int) -> None:
    tokens = min(tokens, max_length)
    length = padded_length(tokens, max_length)
    assert tokens <= length <= max_length
    assert length == max_length or length < 2 * max(tokens, 16)


def test_a_fixed_length_is_kept() -> None:
    (batch,) = prepared(model(word_pieces(), 40, max_length=40), "Ada met", "a " * 100).batches()
    assert batch.tensors["input_ids"].shape == (2, 40)


def test_a_long_text_is_cut_and_says_so() -> None:
    text = "a " * 100
    short, long = prepared(model(word_pieces(), max_length=20), "a b", text).batches()
    assert short.rows[0].placement.read_to is None
    assert long.rows[0].placement.read_to == 2 * 18 - 1, "18 words and two special tokens"
    assert long.tensors["input_ids"][0].tolist() == [CLS, *[10] * 18, SEP]


def test_what_was_saved_with_the_tokenizer_does_not_count() -> None:
    saved = {"truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}}
    (batch,) = prepared(model(with_settings(word_pieces(), **saved)), "a b a b a b").batches()
    assert batch.tensors["attention_mask"].sum() == 8


def test_words_are_parted_by_space_where_the_tokenizer_knows_none() -> None:
    text = "a bc  ab"
    (batch,) = prepared(model(without_words()), text).batches()
    tokens = batch.rows[0].placement.tokens
    assert tokens is not None
    spans = [
        (text[start:end], int(word)) for start, end, word in zip(tokens.starts, tokens.ends, tokens.words, strict=True)
    ]
    assert [span for span in spans if span[0]][:3] == [("a", 1), ("b", 2), ("c", 2)]
    assert {word for part, word in spans if part} == {1, 2, 3}


@given(st.text(max_size=60))
def test_any_text_is_taken(text: str) -> None:
    for tokenizer in (word_pieces(), without_words()):
        preparation = prepared(model(tokenizer, max_length=16), text)
        assert not preparation.failed
        tokens = preparation.batches()[0].rows[0].placement.tokens
        assert tokens is not None
        assert (tokens.starts <= tokens.ends).all()
        assert tokens.ends.max(initial=0) <= len(text)
        parts = [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True)]
        assert all(part == part.strip() for part in parts)


def test_what_is_no_text_costs_its_row() -> None:
    contents = [Content(UUID(int=n), body, b"", first_read=True) for n, body in enumerate((b"a", b"\xff", b"b"))]
    preparation = prepare_batch(model(word_pieces()), contents)
    assert [row.content.data_row_id.int for row in preparation.batches()[0].rows] == [0, 2]
    assert [error.code for _, error in preparation.failed] == ["undecodable_text"]


class _Panic(BaseException):
    """As the library's own, which is no Exception either."""


class _Panicking:
    def encode(self, text: str) -> None:
        raise _Panic(text)


def test_a_tokenizer_that_panics_costs_its_row() -> None:
    served = ServedModel.closed(model(word_pieces()).card, cast(Tokenizer, _Panicking()))
    assert [error.code for _, error in prepared(served, "a").failed] == ["undecodable_text"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": {"type": "Fancy"}}', b"[]"])
def test_what_is_no_tokenizer_says_so(content: bytes) -> None:
    with pytest.raises(ModelUnusable, match=r"tokenizer\.json"):
        open_tokenizer(content, Tokenized())
