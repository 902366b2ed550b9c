"""What a request changes, decision by decision, and all that stands against it. Pure.

To add an action: its form in `schemas`, a function here, named in `_RESOLVE`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from services.api.review.desk import Desk
from services.api.review.proof import Proven
from services.api.review.schemas import (
    AcceptCreate,
    AddCreate,
    DecisionCreate,
    DeleteCreate,
    EditCreate,
    RejectCreate,
    StoredAction,
    UndoCreate,
)
from services.api.review.settled import Settled
from shared.database.tables import DecisionRow, LabelRow
from shared.errors import Conflict, Problems, Unprocessable


@dataclass(frozen=True, slots=True)
class Change:
    """One decision, ready to be written.

    `seen` is the pre-label, where nobody had decided about it; `label` one that is changed, taken away or brought back;
    `made` what the label says afterwards, None where there is none; `stood` the decision that is replaced or undone.
    """

    action: StoredAction
    seen: Proven | None = None
    label: LabelRow | None = None
    made: Settled | None = None
    stood: DecisionRow | None = None


@dataclass
class Resolver:
    """`wrong` is what can never be, `clashing` what the present state does not allow."""

    desk: Desk
    seen: Mapping[int, Proven]
    wrong: Problems = field(default_factory=Problems)
    clashing: Problems = field(default_factory=Problems)
    touched: set[object] = field(default_factory=set)

    def resolve(self, wanted: Sequence[DecisionCreate]) -> list[Change]:
        """Raises Unprocessable, or Conflict where only the present state is against it, with all problems."""
        found = {index: self._resolve(index, one) for index, one in enumerate(wanted)}
        changes = {index: change for index, change in found.items() if change is not None}
        self._check_claims(changes)
        if self.wrong.errors:
            errors = sorted((*self.wrong.errors, *self.clashing.errors), key=lambda one: _place(one.pointer))
            raise Unprocessable("some of these decisions cannot be made", code="invalid_decisions", errors=errors)
        if self.clashing.errors:
            detail = "some of these decisions cannot be made any more"
            raise Conflict(detail, code="decision_conflict", errors=self.clashing.errors)
        return list(changes.values())

    def _resolve(self, index: int, one: DecisionCreate) -> Change | None:
        return _RESOLVE[type(one)](self, index, one)

    def accept(self, index: int, one: AcceptCreate) -> Change | None:
        return self._of_pre_label(index, "accept")

    def reject(self, index: int, one: RejectCreate) -> Change | None:
        return self._of_pre_label(index, "reject")

    def edit(self, index: int, one: EditCreate) -> Change | None:
        if one.pre_label_id is not None:
            proven = self._undecided(index)
            return None if proven is None else self._edited(index, one, Change("edit", seen=proven, made=shown(proven)))
        label = self._label(index, one.label_id)
        if label is None:
            return None
        return self._edited(
            index, one, Change("edit", label=label, made=Settled.of_label(label), stood=self._of(label))
        )

    def add(self, index: int, one: AddCreate) -> Change | None:
        made = Settled(one.feature_schema_id, one.annotation, one.classifications)
        self.desk.ground.check(_pointer(index), made, self.wrong)
        return Change("add", made=made)

    def delete(self, index: int, one: DeleteCreate) -> Change | None:
        label = self._label(index, one.label_id)
        if label is None:
            return None
        stood = self._of(label)
        # Whoever takes away what a model has proposed says that it was wrong.
        action: StoredAction = "reject" if stood is not None and stood.shown is not None else "delete"
        return Change(action, label=label, stood=stood)

    def undo(self, index: int, one: UndoCreate) -> Change | None:
        pointer, stood = f"{_pointer(index)}/decision_id", self.desk.decisions.get(one.decision_id)
        if stood is None:
            self.wrong.add(pointer, "unknown_decision", "this is no decision about this data row")
        elif stood.action == "undo":
            self.wrong.add(pointer, "not_undoable", "an undo is not undone: decide again")
        elif stood.undone:
            self.clashing.add(pointer, "does_not_stand", "a later decision has replaced or undone it")
        elif self._touch(pointer, stood.label_id or stood.id):
            label = self.desk.labels.get(stood.label_id) if stood.label_id else None
            return Change(
                "undo", label=label, made=Settled.of_json(stood.before) if stood.before else None, stood=stood
            )
        return None

    def _of_pre_label(self, index: int, action: StoredAction) -> Change | None:
        proven = self._undecided(index)
        if proven is None:
            return None
        return Change(action, seen=proven, made=shown(proven) if action == "accept" else None)

    def _undecided(self, index: int) -> Proven | None:
        proven = self.seen.get(index)
        if proven is not None and proven.decided:
            self.clashing.add(_pointer(index), "already_decided", "somebody has decided this pre-label already")
            return None
        return proven

    def _edited(self, index: int, one: EditCreate, change: Change) -> Change | None:
        assert change.made is not None
        sent = {name: value for name in _PARTS if (value := getattr(one, name)) is not None}
        made = Settled(**{**{name: getattr(change.made, name) for name in _PARTS}, **sent})
        if made == change.made:
            self.wrong.add(
                _pointer(index), "nothing_changed", "it is that already; to agree with a pre-label, accept it"
            )
        self.desk.ground.check(_pointer(index), made, self.wrong)
        return Change("edit", seen=change.seen, label=change.label, made=made, stood=change.stood)

    def _label(self, index: int, label_id: UUID | None) -> LabelRow | None:
        """The one that is changed; None beside a problem."""
        pointer = f"{_pointer(index)}/label_id"
        label = self.desk.labels.get(label_id) if label_id else None
        if label is None:
            self.wrong.add(pointer, "unknown_label", "this is no label of this data row")
        elif label.deleted_at is not None:
            self.clashing.add(pointer, "label_deleted", "somebody has deleted this label")
        elif self._touch(pointer, label.id):
            return label
        return None

    def _of(self, label: LabelRow) -> DecisionRow | None:
        return self.desk.decisions.get(label.decision_id) if label.decision_id else None

    def _touch(self, pointer: str, thing: UUID) -> bool:
        if thing in self.touched:
            self.wrong.add(pointer, "duplicate_decision", "the request decides about the same label twice")
            return False
        self.touched.add(thing)
        return True

    def _check_claims(self, changes: Mapping[int, Change]) -> None:
        """A radio has one answer, a checklist each option once; what the request takes away is free."""
        live = self.desk.live_labels()
        for change in changes.values():
            if change.label is not None:
                live.pop(change.label.id, None)
        claimed = {claim for settled in live.values() for claim in settled.claims()}
        for index, change in changes.items():
            if change.made is None:
                continue
            if change.action in {"accept", "undo"} and not change.made.named() <= self.desk.ground.features.keys():
                self.clashing.add(_pointer(index), "feature_removed", "the ontology no longer has what this names")
                continue
            if change.made.claims() & claimed:
                detail = "the data row has this answer, or the only one there can be"
                self.clashing.add(_pointer(index), "already_answered", detail)
            claimed |= change.made.claims()


def shown(proven: Proven) -> Settled:
    """The label that accepting it makes."""
    pre_label = proven.pre_label
    return Settled(pre_label.target.feature_schema_id, pre_label.annotation, tuple(pre_label.answers))


_PARTS = ("feature_schema_id", "annotation", "classifications")
_Resolve: TypeAlias = Callable[[Resolver, int, Any], Change | None]
_RESOLVE: Mapping[type, _Resolve] = {
    AcceptCreate: Resolver.accept,
    EditCreate: Resolver.edit,
    RejectCreate: Resolver.reject,
    AddCreate: Resolver.add,
    DeleteCreate: Resolver.delete,
    UndoCreate: Resolver.undo,
}


def _pointer(index: int) -> str:
    return f"/decisions/{index}"


def _place(pointer: str) -> int:
    return int(pointer.split("/")[2])
