"""Previews side by side on the same data rows. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from uuid import UUID

from services.api.previews.matching import Place, Thing, match
from services.api.previews.sweep import thing_of
from shared.selection import Candidate

Pair = tuple[int, int]
"""Two of the previews, by their places."""


@dataclass(slots=True)
class Tally:
    same: int = 0
    only_first: int = 0
    only_second: int = 0

    def add(self, other: "Tally") -> None:
        self.same += other.same
        self.only_first += other.only_first
        self.only_second += other.only_second

    @property
    def differs(self) -> bool:
        return self.only_first + self.only_second > 0

    @property
    def agreement(self) -> float | None:
        every = self.same + self.only_first + self.only_second
        return self.same / every if every else None


@dataclass(frozen=True, slots=True)
class RowDifference:
    data_row_id: UUID
    shown: Sequence[int]
    pairs: Mapping[Pair, Tally]


@dataclass(slots=True)
class Comparison:
    """`classes` and `places` are counters of pre-labels, one a preview; `pairs` are summed over all data rows."""

    classes: list[Counter[str]]
    places: list[Counter[Place]]
    pairs: dict[Pair, Tally]
    rows: int = 0
    different: list[RowDifference] = field(default_factory=list)

    @classmethod
    def of(cls, previews: int) -> "Comparison":
        pairs = {pair: Tally() for pair in combinations(range(previews), 2)}
        return cls([Counter() for _ in range(previews)], [Counter() for _ in range(previews)], pairs)

    def add(self, data_row_id: UUID, visible: Sequence[Sequence[Candidate]]) -> None:
        """What each preview shows on a data row."""
        self.rows += 1
        things: list[list[Thing]] = []
        for candidates, classes, places in zip(visible, self.classes, self.places, strict=True):
            # The surest first: in a pair, those of the first preview choose.
            ordered = sorted(candidates, key=lambda one: -one.detection.confidence)
            things.append([thing_of(one) for one in ordered])
            classes.update(one.detection.model_class for one in ordered)
            places.update(thing.place for thing in things[-1])
        found = {(one, other): tally(things[one], things[other]) for one, other in self.pairs}
        for pair, of_row in found.items():
            self.pairs[pair].add(of_row)
        if any(of_row.differs for of_row in found.values()):
            self.different.append(RowDifference(data_row_id, [len(one) for one in things], found))


def tally(first: Sequence[Thing], second: Sequence[Thing]) -> Tally:
    same = sum(match(first, second))
    return Tally(same, len(first) - same, len(second) - same)
