"""Texts as token numbers."""

import numpy as np
from tokenizers import Encoding, Tokenizer

from services.inference.failures import ModelUnusable, RowFailed
from services.inference.inputs.batch import BatchMemory
from services.inference.inputs.content import Facts
from services.inference.inputs.placement import Placement, Tokens
from services.inference.inputs.plain_text import read_text, text_facts
from services.inference.served_model import ServedModel
from shared.annotations import Canvas
from shared.preprocessing import Tokenized

_SHORTEST = 16
_PADDING_TOKENS = ("[PAD]", "<pad>")


def open_tokenizer(content: bytes, how: Tokenized) -> Tokenizer:
    """From the text of a `tokenizer.json`; nothing is ever fetched. Raises ModelUnusable."""
    try:
        tokenizer = Tokenizer.from_str(content.decode())
        tokenizer.no_padding()
        tokenizer.enable_truncation(how.max_length)
    except BaseException as error:  # the library raises bare ones, and a panic of it is no Exception
        raise ModelUnusable(f"{how.tokenizer} is not a tokenizer: {error}"[:300]) from error
    return tokenizer


def prepare(model: ServedModel, body: bytes, memory: BatchMemory) -> tuple[Placement, Facts]:
    """Fill the inputs the card names and say where the tokens lie in the text. Raises RowFailed."""
    how, tokenizer = model.card.preprocessing, model.tokenizer
    if not isinstance(how, Tokenized) or tokenizer is None:
        raise TypeError("the model has no tokenizer")
    text = read_text(body)
    encoding = _encode(tokenizer, text)
    fixed, count = model.card.inputs[0].shape[0], len(encoding.ids)
    length = padded_length(count, how.max_length) if fixed == -1 else fixed
    datatypes = {tensor.name: tensor.datatype for tensor in model.card.inputs}
    slots = memory.row(datatypes, dict.fromkeys(datatypes, (length,)))
    slots[how.ids][:count], slots[how.ids][count:] = encoding.ids, _padding(tokenizer, how)
    if how.attention_mask is not None:
        slots[how.attention_mask][:count], slots[how.attention_mask][count:] = 1, 0
    if how.token_types is not None:
        slots[how.token_types][...] = 0
    tokens = _tokens(encoding, text, tokenizer)
    read_to = int(tokens.ends.max(initial=0)) if encoding.overflowing else None
    return Placement(Canvas(length=len(text)), tokens=tokens, read_to=read_to), text_facts(body, text)


def padded_length(tokens: int, max_length: int) -> int:
    """The next power of two: what a row gets depends on itself alone, and rows of a like length still share a batch."""
    return min(max(_SHORTEST, 1 << (tokens - 1).bit_length()), max_length)


def _encode(tokenizer: Tokenizer, text: str) -> Encoding:
    try:
        return tokenizer.encode(text)
    except BaseException as error:  # the library raises bare ones, and a panic of it is no Exception
        raise RowFailed("decode", "undecodable_text", f"the tokenizer does not take it: {error}"[:300]) from error


def _padding(tokenizer: Tokenizer, how: Tokenized) -> int:
    if how.pad_id is not None:
        return how.pad_id
    found = (tokenizer.token_to_id(token) for token in _PADDING_TOKENS)
    return next((number for number in found if number is not None), 0)


def _tokens(encoding: Encoding, text: str, tokenizer: Tokenizer) -> Tokens:
    trimmed = [_trimmed(text, start, end) for start, end in encoding.offsets]
    starts, ends = np.array(trimmed, np.int64).reshape(-1, 2).T
    special = np.array(encoding.special_tokens_mask, bool)
    if tokenizer.pre_tokenizer is None:  # it knows of no words: white space parts them
        begins = [start == 0 or text[start - 1].isspace() for start, _ in trimmed]
        words = np.cumsum(begins)
    else:
        words = np.array([-1 if word is None else word for word in encoding.word_ids], np.int64)
    return Tokens(starts, ends, np.where(special, -1, words))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Some tokenizers count the space before a word to it."""
    part = text[start:end]
    inner = part.strip()
    if not inner:
        return start, start
    start += part.index(inner)
    return start, start + len(inner)
