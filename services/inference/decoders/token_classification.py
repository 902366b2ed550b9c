"""Named stretches of a text, out of the label of each of its tokens."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.decoders.scores import softmax
from services.inference.inputs.placement import Placement, Tokens
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.annotations import TextEntity

_PREFIX = re.compile(r"([BILUES])[-_](.+)", re.DOTALL)
_BEGINS, _ENDS = frozenset("BUS"), frozenset("LUES")
_STRATEGY = (
    "`none`: each token by itself; `simple`: neighbours of one label become one; `first`, `average`, `max`: the same "
    "with whole words, which are labeled by their first token, by their tokens' mean, by their surest token"
)


class TokenParameters(Parameters):
    """As the pipeline of the library transformers does it, with words as the tokenizer sees them.

    Prefixes of the BIO, BILOU and BIOES schemes are cut off where every label has one: `B`, `U` and `S` begin a new
    entity, `L`, `U`, `E` and `S` end one. The confidence of an entity is the mean of its tokens' or words'.
    """

    logits: str = Field("logits", description="the output of logits, T x L; what stands behind the tokens is not read")
    labels: tuple[str, ...] = Field(
        (), description="the L labels in the model's order; none: `outside`, then the card's classes"
    )
    outside: str = Field("O", description="the label of what is no entity")
    strategy: Literal["none", "simple", "first", "average", "max"] = Field("simple", description=_STRATEGY)


def entities(labels: Sequence[str], outside: str) -> tuple[str, ...]:
    """What the labels of tokens are labels of, each once."""
    return tuple(dict.fromkeys(label.name for label in _labels(labels, outside) if label.name != outside))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A token or word with its label and the score of it."""

    label: int
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Label:
    name: str
    begins: bool = False
    ends: bool = False


def decode(
    model: ServedModel, parameters: TokenParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    labels = _labels(parameters.labels or (parameters.outside, *model.classes), parameters.outside)
    logits = outputs[parameters.logits]
    if logits.ndim != 3 or logits.shape[2] != len(labels):  # noqa: PLR2004 - rows, tokens, labels
        raise BadModelOutput(f"expected logits of {len(labels)} labels a token, got shape {list(logits.shape)}")
    return [
        _row(model, parameters, labels, (logits[row], placement.tokens)) for row, placement in enumerate(placements)
    ]


def _row(
    model: ServedModel, parameters: TokenParameters, labels: Sequence[_Label], raw: tuple[Array, Tokens | None]
) -> list[Found]:
    logits, tokens = raw
    if tokens is None or len(tokens.words) > len(logits):
        raise BadModelOutput(f"logits of {len(logits)} tokens, fewer than the text has")
    pieces = list(_pieces(parameters.strategy, softmax(logits[: len(tokens.words)]), tokens))
    groups = [[piece] for piece in pieces] if parameters.strategy == "none" else _groups(pieces, labels)
    known = frozenset(model.classes)
    found = []
    for group in groups:
        name, score = labels[group[0].label].name, float(np.mean([piece.score for piece in group]))
        if name == parameters.outside or score < model.card.floor:
            continue
        if name not in known:
            raise BadModelOutput(f"the label {name!r} is none of the card's classes")
        found.append(Found(name, min(1.0, score), TextEntity(start=group[0].start, end=group[-1].end)))
    found.sort(key=lambda one: -one.confidence)
    return found[: model.card.max_detections]


def _labels(names: Sequence[str], outside: str) -> list[_Label]:
    split = [_PREFIX.fullmatch(name) for name in names]
    if not all(match or name == outside for match, name in zip(split, names, strict=True)):
        return [_Label(name) for name in names]
    return [
        _Label(match[2], match[1] in _BEGINS, match[1] in _ENDS) if match else _Label(name)
        for match, name in zip(split, names, strict=True)
    ]


def _pieces(strategy: str, scores: Array, tokens: Tokens) -> Iterator[_Piece]:
    """The labeled tokens or words, in the order of the text."""
    places = np.flatnonzero((tokens.words >= 0) & (tokens.ends > tokens.starts))
    if not len(places):
        return
    if strategy in ("none", "simple"):
        words = list(places[:, None])
    else:
        words = np.split(places, np.flatnonzero(np.diff(tokens.words[places])) + 1)
    for word in words:
        share = _share(strategy, scores[word])
        label = int(share.argmax())
        yield _Piece(label, float(share[label]), int(tokens.starts[word[0]]), int(tokens.ends[word[-1]]))


def _share(strategy: str, scores: Array) -> Array:
    """The scores of a word, out of its tokens', tokens x labels."""
    if strategy == "average":
        mean: Array = scores.mean(axis=0)
        return mean
    surest: Array = scores[scores.max(axis=1).argmax() if strategy == "max" else 0]
    return surest


def _groups(pieces: Sequence[_Piece], labels: Sequence[_Label]) -> list[list[_Piece]]:
    groups: list[list[_Piece]] = []
    for piece in pieces:
        label = labels[piece.label]
        before = labels[groups[-1][-1].label] if groups else None
        if before is not None and before.name == label.name and not label.begins and not before.ends:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


DECODER = Decoder(version=1, parameters=TokenParameters, decode=decode)
