"""Entities out of tokens, against a plain rewriting of what the library transformers does."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.inference.decoders import decode_batch
from services.inference.decoders.base import Found
from services.inference.inputs.placement import Placement, Tokens
from services.inference.tensors import BadModelOutput
from shared.annotations import Canvas, TextEntity
from shared.model_card import DecoderChoice
from tests.support.decoder_samples import SAMPLES, served

BIO = ["O", "B-cat", "I-cat", "B-dog", "I-dog", "B-person", "I-person"]
STRATEGIES = ("none", "simple", "first", "average", "max")
Entity = tuple[str, float, int, int]


def placed(*words: Sequence[str]) -> Placement:
    """Tokens of words with a space between them, and a special one at both ends."""
    starts, ends, numbers, at = [0], [0], [-1], 0
    for number, word in enumerate(words):
        for token in word:
            starts.append(at)
            at += len(token)
            ends.append(at)
            numbers.append(number)
        at += 1
    tokens = Tokens(np.array([*starts, 0]), np.array([*ends, 0]), np.array([*numbers, -1]))
    return Placement(Canvas(length=at), tokens=tokens)


def decoded(logits: NDArray[Any], placement: Placement, **parameters: Any) -> list[Found]:
    sample = SAMPLES["token classification"].model.card
    classes = parameters.pop("classes", sample.classes)
    decoder = DecoderChoice(name="token_classification", parameters={"labels": BIO, **parameters})
    card = sample.model_copy(update={"decoder": decoder, "classes": tuple(classes), "max_detections": 100})
    (found,) = decode_batch(served(card), {"logits": logits[None].astype(np.float32)}, [placement])
    return found


def entities(found: Sequence[Found]) -> list[Entity]:
    """In the order of the text."""
    spans = [
        (one.model_class, round(one.confidence, 4), one.annotation.start, one.annotation.end)
        for one in found
        if isinstance(one.annotation, TextEntity)
    ]
    return sorted(spans, key=lambda span: span[2:])


def saying(*labels: str, names: Sequence[str] = BIO) -> NDArray[np.float64]:
    """Logits that are sure of a label a token, between two special tokens that are sure of nonsense."""
    numbers = [1, *(names.index(label) for label in labels), 1]
    return np.eye(len(names))[numbers] * 20


# --- transformers, rewritten ----------------------------------------------------------------------------------------


def reference(logits: NDArray[Any], placement: Placement, strategy: str) -> list[Entity]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = powers / powers.sum(axis=-1, keepdims=True)
    tokens = placement.tokens
    assert tokens is not None
    rows = [
        {"scores": scores[n], "start": int(tokens.starts[n]), "end": int(tokens.ends[n]), "word": int(tokens.words[n])}
        for n in range(len(tokens.words))
        if tokens.words[n] >= 0
    ]
    if strategy in ("none", "simple"):
        pieces = [(BIO[row["scores"].argmax()], row["scores"].max(), row["start"], row["end"]) for row in rows]
    else:
        pieces = [word_of(list(word), strategy) for _, word in groupby(rows, key=lambda row: row["word"])]
    groups = [[piece] for piece in pieces] if strategy == "none" else grouped(pieces)
    found = [
        (group[0][0].split("-")[-1], round(float(np.mean([p[1] for p in group])), 4), group[0][2], group[-1][3])
        for group in groups
    ]
    return [one for one in found if one[0] != "O" and one[1] >= 0.05]


def word_of(tokens: list[dict[str, Any]], strategy: str) -> tuple[str, float, int, int]:
    if strategy == "first":
        scores = tokens[0]["scores"]
    elif strategy == "max":
        scores = max(tokens, key=lambda token: token["scores"].max())["scores"]
    else:
        scores = np.nanmean(np.stack([token["scores"] for token in tokens]), axis=0)
    return BIO[scores.argmax()], float(scores.max()), tokens[0]["start"], tokens[-1]["end"]


def tag_of(label: str) -> tuple[str, str]:
    return (label[0], label[2:]) if label[:2] in ("B-", "I-") else ("I", label)


def grouped(pieces: list[tuple[str, float, int, int]]) -> list[list[tuple[str, float, int, int]]]:
    groups: list[list[tuple[str, float, int, int]]] = []
    for piece in pieces:
        begins, tag = tag_of(piece[0])
        if groups and tag == tag_of(groups[-1][-1][0])[1] and begins != "B":
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(40))
def test_entities_are_those_of_transformers(strategy: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    words = [["abc"[: random.integers(1, 4)]] * random.integers(1, 4) for _ in range(random.integers(1, 12))]
    placement = placed(*words)
    assert placement.tokens is not None
    # Some padding behind the tokens, sure of an entity.
    logits = np.concatenate([random.normal(0, 2, (len(placement.tokens.words), 7)), saying("B-cat", "I-cat")])
    found, expected = entities(decoded(logits, placement, strategy=strategy)), reference(logits, placement, strategy)
    assert [(name, start, end) for name, _, start, end in found] == [(name, *span) for name, _, *span in expected]
    assert [score for _, score, *_ in found] == pytest.approx([score for _, score, *_ in expected], abs=2e-4)


# --- by hand --------------------------------------------------------------------------------------------------------


def test_a_word_is_labeled_as_a_whole() -> None:
    placement = placed(["Ada"], ["Love", "lace"], ["met"])
    logits = np.log(
        np.array(
            [
                [1e-9, 1, *[1e-9] * 5],
                [0.1, 0.8, 0.02, 0.02, 0.02, 0.02, 0.02],  # Ada: B-cat
                [0.02, 0.02, 0.6, 0.3, 0.02, 0.02, 0.02],  # Love: I-cat
                [0.03, 0.02, 0.02, 0.9, 0.01, 0.01, 0.01],  # lace: B-dog, and sure of it
                [0.9, 0.02, 0.02, 0.02, 0.02, 0.01, 0.01],
                [1e-9, 1, *[1e-9] * 5],
            ]
        )
    )
    assert entities(decoded(logits, placement, strategy="simple")) == [("cat", 0.7, 0, 8), ("dog", 0.9, 8, 12)]
    assert entities(decoded(logits, placement, strategy="first")) == [("cat", 0.7, 0, 12)]
    assert entities(decoded(logits, placement, strategy="average")) == [("cat", 0.8, 0, 3), ("dog", 0.6, 4, 12)]
    assert entities(decoded(logits, placement, strategy="max")) == [("cat", 0.8, 0, 3), ("dog", 0.9, 4, 12)]


@pytest.mark.parametrize(
    ("scheme", "labels", "expected"),
    [
        (["O", "B-cat", "I-cat", "L-cat", "U-cat"], ["U-cat", "U-cat", "B-cat", "L-cat"], [(0, 1), (2, 3), (4, 7)]),
        (["O", "B-cat", "I-cat", "E-cat", "S-cat"], ["S-cat", "B-cat", "I-cat", "E-cat"], [(0, 1), (2, 7)]),
        (["O", "B_cat", "I_cat"], ["B_cat", "I_cat", "B_cat", "O"], [(0, 3), (4, 5)]),
        (["O", "cat", "dog"], ["cat", "cat", "O", "cat"], [(0, 3), (6, 7)]),
    ],
)
def test_schemes_of_prefixes(scheme: list[str], labels: list[str], expected: list[tuple[int, int]]) -> None:
    found = decoded(saying(*labels, names=scheme), placed(*(["x"] for _ in labels)), labels=scheme)
    assert [(name, start, end) for name, _, start, end in entities(found)] == [("cat", *span) for span in expected]


def test_a_prefix_that_not_all_labels_have_is_part_of_the_name() -> None:
    names = ["O", "E-mail", "name"]
    found = decoded(saying("E-mail", "name", names=names), placed(["x"], ["y"]), labels=names, classes=names[1:])
    assert [one[0] for one in entities(found)] == ["E-mail", "name"]


def test_labels_may_be_the_classes() -> None:
    names = ["O", "cat", "dog", "person"]
    found = decoded(saying("dog", "O", names=names), placed(["x"], ["y"]), labels=[])
    assert [one[0] for one in entities(found)] == ["dog"]


def test_a_label_that_is_no_class_is_bad() -> None:
    with pytest.raises(BadModelOutput, match="bird"):
        decoded(saying("bird", names=["O", "bird"]), placed(["x"]), labels=["O", "bird"])


def test_what_was_cut_says_how_far_the_model_read() -> None:
    placement = placed(["Ada"], ["met"])
    cut = Placement(Canvas(length=500), tokens=placement.tokens, read_to=7)
    assert [one.attributes for one in decoded(saying("B-cat", "O"), cut)] == [{"read_to": 7.0}]
    assert [one.attributes for one in decoded(saying("B-cat", "O"), placement)] == [{}]


def test_a_text_without_tokens_has_no_entities() -> None:
    assert decoded(saying(), placed()) == []


def test_a_row_that_was_not_tokenized_is_bad() -> None:
    with pytest.raises(BadModelOutput, match="tokens"):
        decoded(saying("O"), Placement(Canvas(length=5)))
