"""What of one data row is shown through an alignment, beside what people have decided. Pure.

What is decided stays as it was shown, whatever the alignment says now, and the detection is not offered for another
feature. So a detection may be shown that `select` drops: it is *kept*, with the reason it would have been dropped for.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

from shared.alignment import Alignment
from shared.detections import Seen
from shared.doubt import Doubt, doubt_of
from shared.selection import select

Decided = Mapping[int, Set[UUID]]
"""The features that each decided detection of a data row was decided for."""


class Kept(TypedDict):
    ordinal: int
    model_class: str
    reason: str


@dataclass(frozen=True, slots=True)
class RowView:
    """`ledger` is that of `select` alone: what is kept is moved when the ledger is read, so that it stays exact."""

    shown: int
    doubt: Doubt
    ledger: Mapping[tuple[str, str], int]
    kept: Sequence[Kept]


def see(detections: Sequence[Seen], alignment: Alignment, decided: Decided) -> RowView:
    selection = select(detections, alignment)
    if not decided:
        return RowView(len(selection.visible), doubt_of(selection), selection.ledger, ())
    offered = [one for one in selection.visible if one.detection.ordinal not in decided]
    settled = [one for one in detections if one.ordinal in decided]
    kept: list[Kept] = [
        {"ordinal": one.ordinal, "model_class": one.model_class, "reason": selection.dropped[one.ordinal]}
        for one in settled
        if one.ordinal in selection.dropped
    ]
    return RowView(
        shown=len(offered) + sum(map(len, decided.values())),
        doubt=doubt_of(selection, offered, [one.confidence for one in settled]),
        ledger=selection.ledger,
        kept=kept,
    )
