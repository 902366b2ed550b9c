"""Names that mean about the same, by the embeddings of a sentence model."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.api.model_catalog.lexicon import are_distinct, broader_names
from services.api.model_catalog.matches import SCORES
from services.api.model_catalog.spelling import normalized, plain_words, words

CUT = 0.82
"""The least cosine. The nearest traps of the golden table that nothing else keeps apart are below it: street and road,
which have 0.81 with all-MiniLM-L6-v2."""
_SHORTEST_SHARED = 3
_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")

Vector = NDArray[np.float32]


def spoken(name: str) -> str:
    """The text that is embedded for a name."""
    return " ".join(plain_words(name))


@dataclass(frozen=True, slots=True)
class Meanings:
    """`vectors` of unit length by spoken name."""

    vectors: Mapping[str, Vector]

    def alike(self, classes: Sequence[str], names: Sequence[str]) -> Iterator[tuple[int, int, float]]:
        """Places in both, and a score. Names without a vector are like no other."""
        mine = [place for place, name in enumerate(classes) if spoken(name) in self.vectors]
        theirs = [place for place, name in enumerate(names) if spoken(name) in self.vectors]
        if not mine or not theirs:
            return
        cosines = self._stack(classes, mine) @ self._stack(names, theirs).T
        for row, column in np.argwhere(cosines >= CUT):
            place, other = mine[row], theirs[column]
            if may_be_alike(classes[place], names[other]):
                score = SCORES["similar_meaning"] * min(1.0, float(cosines[row, column]))
                yield place, other, round(score, 4)

    def _stack(self, names: Sequence[str], places: Sequence[int]) -> Vector:
        return np.stack([self.vectors[spoken(names[place])] for place in places])


def may_be_alike(one: str, other: str) -> bool:
    """Embeddings say what names are about, not in what they differ: what could differ in one word is left alone."""
    mine, theirs = words(one), words(other)
    if any(_share(word, counterpart) for word in mine for counterpart in theirs):
        return False
    if any(_DIGIT.search(name) or not _LETTER.search(name) for name in (one, other)):
        return False
    keys = normalized(one), normalized(other)
    if keys[1] in broader_names(keys[0]) or keys[0] in broader_names(keys[1]):
        return False
    return not are_distinct(mine, theirs)


def _share(one: str, other: str) -> bool:
    """Sea lion and lion, left hand and right hand, armchair and chair."""
    shortest = min(len(one), len(other))
    return one == other or (shortest >= _SHORTEST_SHARED and (one in other or other in one))
