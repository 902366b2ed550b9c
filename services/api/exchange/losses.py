"""What a format cannot hold, counted by what it is about and why: said to whoever exports or imports, never silent."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from pydantic import BaseModel, Field

from shared.annotations import KINDS

Aspect = Literal["answers", "confidence", "provenance", "decisions", "extras", "metadata", "ids", "empty_rows"]
"""Besides annotation kinds, what a format holds or not: answers under a tool, confidences, where a label comes from,
what was decided, what other formats know, metadata of data rows, ids of labels, and data rows without a label."""

NOT_HELD = "not_held"
"""The format has no place for it."""

Holds: TypeAlias = Mapping[str, Sequence[str]]
"""Annotation kinds and aspects that a format holds, each with the codes of what may be lost of it."""

ASPECTS: Sequence[str] = get_args(Aspect)
EVERYTHING: Holds = {what: () for what in (*KINDS, *ASPECTS)}


class LossCount(BaseModel):
    """How often something was lost on the way."""

    about: str = Field(description="an annotation kind, or an aspect of labels", examples=["polygon"])
    code: str = Field(examples=["holes_filled"])
    detail: str
    count: int


@dataclass(slots=True)
class Losses:
    """`sentences` explain each code; one that is not declared is a mistake in the format."""

    sentences: Mapping[str, str]
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, about: str, code: str, times: int = 1) -> None:
        if code != NOT_HELD and code not in self.sentences:
            raise KeyError(code)
        self._counts[about, code] += times

    def add(self, others: Iterable[LossCount]) -> None:
        for one in others:
            self._counts[one.about, one.code] += one.count

    def listed(self) -> list[LossCount]:
        return [
            LossCount(about=about, code=code, detail=self._sentence(code), count=count)
            for (about, code), count in sorted(self._counts.items())
        ]

    def _sentence(self, code: str) -> str:
        return "the format has no place for it" if code == NOT_HELD else self.sentences[code]
