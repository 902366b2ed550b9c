"""Small tokenizers as Hugging Face files, made here: nothing is fetched."""

import json

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = (
    "ada",
    "charles",
    "london",
    "met",
    "in",
    "the",
    "a",
    "b",
    "bab",
    "##bage",
    "love",
    "##lace",
    "na",
    "##ive",
    ".",
)


def word_pieces() -> bytes:
    """As BERT's: lower case without accents, `##` within words, between [CLS] and [SEP]."""
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return str(tokenizer.to_str()).encode()


def without_words() -> bytes:
    """As some of SentencePiece: no part of it knows of words, and the space before one counts to it."""
    pieces = [("<unk>", 0.0), ("▁a", -1.0), ("▁b", -1.0), ("c", -1.0), ("▁", -2.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return str(tokenizer.to_str()).encode()


def with_settings(tokenizer: bytes, **settings: object) -> bytes:
    """The same with other top-level fields, such as a truncation that somebody saved with it."""
    return json.dumps({**json.loads(tokenizer), **settings}).encode()
