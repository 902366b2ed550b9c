"""Decisions played again: which labels they lead to. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.api.exchange.formats.base import Refused
from services.api.exchange.histories import DOES_NOT_FIT, LOSSES, DecisionRecord, Json


@dataclass(slots=True)
class Replayed:
    """By what a label is called. `live` and `gone` are what those say that people decided about, `gone` the last that
    deleted ones said; `standing` is the decision that made a label what it is."""

    live: dict[str, Json] = field(default_factory=dict)
    gone: dict[str, Json] = field(default_factory=dict)
    standing: dict[str, UUID] = field(default_factory=dict)
    _known: dict[UUID, DecisionRecord] = field(default_factory=dict)
    _undone: set[UUID] = field(default_factory=set)

    def play(self, one: DecisionRecord) -> None:
        if one.id in self._known:
            raise does_not_fit()
        self._known[one.id] = one
        taken = self._taken(one)
        if one.label_id is None:
            return
        said = one.before if one.action in {"delete", "reject"} else None
        after = taken.before if taken is not None else one.made or (one.shown if one.action == "accept" else None)
        last = self.live.pop(one.label_id, None) or said
        if after is not None:
            self.live[one.label_id] = after
            self.gone.pop(one.label_id, None)
        elif last is not None:
            self.gone[one.label_id] = last
        else:
            raise does_not_fit()

    def end(self) -> None:
        if any(one.undone != (one.id in self._undone) for one in self._known.values()):
            raise does_not_fit()
        for one in self._known.values():
            if one.label_id is not None and one.action != "undo" and not one.undone:
                self.standing[one.label_id] = one.id

    def _taken(self, one: DecisionRecord) -> DecisionRecord | None:
        """The decision that an undo takes back. What no longer stands, and what stands again, is noted."""
        former = one.undoes or one.replaces
        if (one.action == "undo") != (one.undoes is not None):
            raise does_not_fit()
        if former is None:
            return None
        if former not in self._known or former in self._undone or self._known[former].action == "undo":
            raise does_not_fit()
        self._undone.add(former)
        if one.undoes is None:
            return None
        found = self._known[former]
        if found.replaces is not None:
            self._undone.discard(found.replaces)
        return found


def replay(decisions: Sequence[DecisionRecord]) -> Replayed:
    """Raises Refused for decisions that nobody can have made in this order."""
    replayed = Replayed()
    for one in decisions:
        replayed.play(one)
    replayed.end()
    return replayed


def in_order(decisions: Sequence[DecisionRecord]) -> list[DecisionRecord]:
    """As they were made: those of one revision stand in the order they came."""
    return sorted(decisions, key=lambda one: one.revision)


def does_not_fit() -> Refused:
    return Refused(DOES_NOT_FIT, LOSSES[DOES_NOT_FIT], "/decisions")
