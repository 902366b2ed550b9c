"""Writing decisions and the labels they make. Decisions only grow; which one stands is a mark on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.review.changes import Change
from services.api.review.desk import Desk
from services.api.review.proof import Proven
from services.api.review.settled import Json, Settled, difference
from shared.database.tables import DecisionRow, LabelRow, ModelRunRow
from shared.ids import new_id
from shared.run_configuration import RunConfiguration

_SETTLED = {"annotation", "classifications"}
_OF_SHOWN = ("model_run_id", "ordinal", "option_id", "shown")


@dataclass(frozen=True, slots=True)
class Hand:
    """Who decides, when, and about what. `operation_id` is the bulk's; `models` are those of runs, as labels tell."""

    member_id: UUID
    at: datetime
    desk: Desk
    operation_id: UUID | None = None
    models: dict[UUID, Json] = field(default_factory=dict)
    policy_id: UUID | None = None


async def write(session: AsyncSession, hand: Hand, changes: Sequence[Change]) -> None:
    # What no longer stands first: a pre-label has one decision that does.
    workspace_id = hand.desk.data_row.workspace_id
    await mark(session, workspace_id, [change.stood.id for change in changes if change.stood], undone=True)
    again = [change.stood.replaces for change in changes if change.action == "undo" and change.stood]
    await mark(session, workspace_id, [one for one in again if one is not None], undone=False)
    add_decisions(session, hand, changes)
    await session.flush()


async def mark(session: AsyncSession, workspace_id: UUID, decision_ids: Sequence[UUID], *, undone: bool) -> None:
    """Say that these do not stand, or stand again."""
    if decision_ids:
        await session.execute(
            update(DecisionRow)
            .where(DecisionRow.workspace_id == workspace_id, DecisionRow.id.in_(decision_ids))
            .values(undone=undone)
        )


def add_decisions(session: AsyncSession, hand: Hand, changes: Sequence[Change]) -> None:
    """And what becomes of their labels. What they replace or undo is marked already."""
    for change in changes:
        decision = _decision(hand, change)
        session.add(decision)
        label = _settle(hand, change, decision)
        if label is not None:
            decision.label_id = label.id
            session.add(label)


def _decision(hand: Hand, change: Change) -> DecisionRow:
    row, stood = hand.desk.data_row, change.stood
    decision = DecisionRow(
        id=new_id(),
        workspace_id=row.workspace_id,
        project_id=row.project_id,
        data_row_id=row.id,
        action=change.action,
        undone=False,
        revision=hand.desk.review.revision,
        operation_id=hand.operation_id,
        policy_id=hand.policy_id,
        decided_by=hand.member_id,
        decided_at=hand.at,
    )
    if change.action == "undo":
        assert stood is not None
        decision.feature_schema_id, decision.option_id = stood.feature_schema_id, stood.option_id
        decision.undoes, decision.label_id = stood.id, stood.label_id
        return decision
    _say_what_was_shown(hand, change, decision)
    if stood is not None:
        decision.replaces = stood.id
    if change.label is not None:
        decision.before = _before(change.label)
    if change.made is not None and change.action != "accept":
        decision.made = change.made.json()
    if change.action == "edit" and change.made is not None:
        source = decision.shown or decision.before
        assert source is not None
        decision.difference = difference(Settled.of_json(source), change.made).model_dump(mode="json")
    return decision


def _say_what_was_shown(hand: Hand, change: Change, decision: DecisionRow) -> None:
    """What the model said, when the decision is about that; the feature is then the one it was shown for."""
    if change.seen is not None:
        seen, target = change.seen, change.seen.pre_label.target
        if seen.run.id not in hand.models:
            hand.models[seen.run.id] = model_of(seen.run)
        model = hand.models[seen.run.id]
        decision.model_run_id, decision.ordinal = seen.run.id, seen.pre_label.ordinal
        decision.feature_schema_id, decision.option_id = target.feature_schema_id, target.option_id
        decision.shown = shown_json(hand, seen, model)
    elif change.stood is not None and change.stood.shown is not None:
        decision.feature_schema_id = change.stood.feature_schema_id
        for name in _OF_SHOWN:
            setattr(decision, name, getattr(change.stood, name))
    elif change.made is not None:
        decision.feature_schema_id = change.made.feature_schema_id
    else:
        assert change.label is not None
        decision.feature_schema_id = change.label.feature_schema_id


def shown_json(hand: Hand, seen: Proven, model: Json) -> Json:
    """A copy of the pre-label as the person saw it."""
    pre_label, target, names = seen.pre_label, seen.pre_label.target, hand.desk.names
    return {
        "pre_label_id": str(seen.id),
        "model_run_id": str(seen.run.id),
        "model": model,
        "ordinal": pre_label.ordinal,
        "model_class": pre_label.model_class,
        "confidence": pre_label.confidence,
        "threshold": pre_label.threshold,
        "alignment_version": seen.run.alignment_version,
        "feature_schema_id": str(target.feature_schema_id),
        "feature_name": names.get(target.feature_schema_id),
        "option_id": str(target.option_id) if target.option_id else None,
        "option_name": names.get(target.option_id),
        "annotation": pre_label.annotation.model_dump(mode="json", exclude_none=True),
        "classifications": [answer.model_dump(mode="json", exclude_none=True) for answer in pre_label.answers],
    }


def _settle(hand: Hand, change: Change, decision: DecisionRow) -> LabelRow | None:
    """The label as it is afterwards; None where there was none and is none."""
    label = change.label
    if change.made is None:
        if label is not None:
            label.deleted_at = label.updated_at = hand.at
        return label
    if label is None:
        return _new_label(hand, change.made, decision)
    label.updated_at, label.deleted_at = hand.at, None
    if change.action == "undo":
        assert change.stood is not None
        assert change.stood.before is not None
        before = change.stood.before
        label.provenance = before["provenance"]
        label.decision_id = UUID(before["decision_id"]) if before["decision_id"] else None
    else:
        label.provenance = {**label.provenance, **_deciding(hand, decision)}
        label.decision_id = decision.id
    _say(label, change.made)
    return label


def _new_label(hand: Hand, made: Settled, decision: DecisionRow) -> LabelRow:
    row, shown = hand.desk.data_row, decision.shown
    source = {name: value for name, value in shown.items() if name not in _SETTLED} if shown else {}
    label = LabelRow(
        id=new_id(),
        workspace_id=row.workspace_id,
        project_id=row.project_id,
        data_row_id=row.id,
        provenance={"source": _source(hand, decision), **source, **_deciding(hand, decision)},
        decision_id=decision.id,
        created_by=hand.member_id,
        created_at=hand.at,
        updated_at=hand.at,
    )
    _say(label, made)
    return label


def _source(hand: Hand, decision: DecisionRow) -> str:
    if hand.policy_id is not None:
        return "policy"
    return "model_run" if decision.shown else "hand"


def _say(label: LabelRow, made: Settled) -> None:
    said: dict[str, Any] = made.json()
    label.feature_schema_id = made.feature_schema_id
    label.annotation, label.classifications = said["annotation"], said["classifications"]


def _deciding(hand: Hand, decision: DecisionRow) -> Json:
    return {
        "decision_id": str(decision.id),
        "action": decision.action,
        "decided_by": str(hand.member_id),
        "decided_at": hand.at.isoformat(),
        **({"policy_id": str(hand.policy_id)} if hand.policy_id else {}),
    }


def _before(label: LabelRow) -> Json:
    return {
        **Settled.of_label(label).json(),
        "provenance": label.provenance,
        "decision_id": str(label.decision_id) if label.decision_id else None,
    }


def model_of(run: ModelRunRow) -> Json:
    """Of an import, which has no model, the source it names."""
    if not run.configuration:
        return dict(run.source or {})
    configuration = RunConfiguration.model_validate(run.configuration)
    card = configuration.card
    return {
        "id": str(configuration.catalog_model_id),
        "slug": card.slug,
        "name": card.name,
        "version": card.version,
        "digest": configuration.digest,
    }
