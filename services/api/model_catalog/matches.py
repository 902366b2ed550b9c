"""Why a model class is brought together with a place of the ontology, and how sure that is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from services.api.model_catalog.slots import Slot

Match = Literal[
    "exact_name",
    "normalized_name",
    "synonym",
    "broader_name",
    "similar_name",
    "similar_meaning",
    "reads_text",
    "own_words",
]
SCORES: dict[Match, float] = {
    "exact_name": 1.0,
    "normalized_name": 0.9,
    "synonym": 0.85,
    "broader_name": 0.7,  # one step up; each further one costs 0.05
    "similar_name": 0.8,  # times the share of letters that are right
    "similar_meaning": 0.65,  # at the most
    "reads_text": 0.5,
    "own_words": 0.5,
}
BROADER_STEP, LEAST_BROADER = 0.05, 0.5
NESTED = 0.85
"""A name met under a tool or an option says less: the tool of that very name comes first."""

Alike = Callable[[Sequence[str], Sequence[str]], Iterable[tuple[int, int, float]]]
"""Which of some classes and some features mean about the same: places in both, and a score."""


@dataclass(frozen=True, slots=True)
class Fit:
    slot: Slot
    reason: Match
    score: float


def nothing_alike(classes: Sequence[str], names: Sequence[str]) -> Iterable[tuple[int, int, float]]:
    del classes, names
    return ()
