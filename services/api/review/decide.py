"""Deciding about pre-labels: decisions, labels, revision and event in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from services.api.access.principal import Principal
from services.api.etags import etag
from services.api.projects.queries import feature_of, hold_project, list_features
from services.api.review import queries
from services.api.review.conflicts import check_conflicts
from services.api.review.proof import Proven, prove
from services.api.review.reading import read_review
from services.api.review.schemas import DataRowReview, DecisionsCreate
from shared.contracts.events import DataRowDecided
from shared.database.tables import DataRowRow, DecisionRow, LabelRow, ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import PreconditionFailed
from shared.ids import new_id
from shared.run_configuration import RunConfiguration

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Hand:
    """Who decides, when, and about what. `names` are those of features and options, removed ones included."""

    member_id: UUID
    at: datetime
    data_row: DataRowRow
    revision: int
    names: Mapping[UUID | None, str]


async def decide_pre_labels(
    work: UnitOfWork, principal: Principal, data_row_id: UUID, expected: int, wanted: DecisionsCreate
) -> DataRowReview:
    """The review afterwards. Raises PreconditionFailed, with the review as it is, for another revision."""
    data_row = await queries.get_data_row(work.session, principal.workspace_id, data_row_id)
    # Held until commit, so that no feature goes while a label for it is made.
    project = await hold_project(work.session, principal.workspace_id, data_row.project_id)
    review = await queries.lock_review(work.session, data_row)
    if review.revision != expected:
        raise await _stale(work, data_row, review.revision)
    proven = await prove(work.session, data_row, wanted.decisions)
    features = await list_features(work.session, project)
    present = {row.id: feature_of(row) for row in features if row.removed_in_version is None}
    check_conflicts(proven, await queries.list_labels_of(work.session, data_row), present)

    now = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
    review.revision, review.updated_at = review.revision + 1, now
    names: dict[UUID | None, str] = {row.id: row.name for row in features}
    _write(work, _Hand(principal.member_id, now, data_row, review.revision, names), proven)
    await work.session.flush()
    return await read_review(work.session, data_row)


def _write(work: UnitOfWork, hand: _Hand, proven: list[Proven]) -> None:
    models = {one.run.id: _model_of(one.run) for one in proven}
    for one in proven:
        shown = _shown(hand, one, models[one.run.id])
        decision = _decision(hand, one, shown)
        work.session.add(decision)
        if one.action == "accept":
            label = _label(hand, one, {**shown, "decision_id": str(decision.id)})
            decision.label_id = label.id
            work.session.add(label)
    accepted = sum(one.action == "accept" for one in proven)
    work.emit(
        DataRowDecided(
            workspace_id=hand.data_row.workspace_id,
            project_id=hand.data_row.project_id,
            data_row_id=hand.data_row.id,
            revision=hand.revision,
            accepted=accepted,
            rejected=len(proven) - accepted,
        )
    )


def _shown(hand: _Hand, one: Proven, model: Json) -> Json:
    """A copy of the pre-label as the person saw it."""
    pre_label, target = one.pre_label, one.pre_label.target
    return {
        "pre_label_id": str(one.id),
        "model_run_id": str(one.run.id),
        "model": model,
        "ordinal": pre_label.ordinal,
        "model_class": pre_label.model_class,
        "confidence": pre_label.confidence,
        "threshold": pre_label.threshold,
        "alignment_version": one.run.alignment_version,
        "feature_schema_id": str(target.feature_schema_id),
        "feature_name": hand.names.get(target.feature_schema_id),
        "option_id": str(target.option_id) if target.option_id else None,
        "option_name": hand.names.get(target.option_id),
        "annotation": pre_label.annotation.model_dump(mode="json", exclude_none=True),
        "classifications": [answer.model_dump(mode="json", exclude_none=True) for answer in pre_label.answers],
    }


def _decision(hand: _Hand, one: Proven, shown: Json) -> DecisionRow:
    return DecisionRow(
        id=new_id(),
        workspace_id=hand.data_row.workspace_id,
        project_id=hand.data_row.project_id,
        data_row_id=hand.data_row.id,
        action=one.action,
        model_run_id=one.run.id,
        ordinal=one.pre_label.ordinal,
        feature_schema_id=one.pre_label.target.feature_schema_id,
        option_id=one.pre_label.target.option_id,
        shown=shown,
        undone=False,
        revision=hand.revision,
        decided_by=hand.member_id,
        decided_at=hand.at,
    )


def _label(hand: _Hand, one: Proven, shown: Json) -> LabelRow:
    settled = {"annotation", "classifications"}
    return LabelRow(
        id=new_id(),
        workspace_id=hand.data_row.workspace_id,
        project_id=hand.data_row.project_id,
        data_row_id=hand.data_row.id,
        feature_schema_id=one.pre_label.target.feature_schema_id,
        annotation=shown["annotation"],
        classifications=shown["classifications"],
        provenance={
            "source": "model_run",
            **{name: value for name, value in shown.items() if name not in settled},
            "action": one.action,
            "decided_by": str(hand.member_id),
            "decided_at": hand.at.isoformat(),
        },
        created_by=hand.member_id,
        created_at=hand.at,
    )


def _model_of(run: ModelRunRow) -> Json:
    configuration = RunConfiguration.model_validate(run.configuration)
    card = configuration.card
    return {
        "id": str(configuration.catalog_model_id),
        "slug": card.slug,
        "name": card.name,
        "version": card.version,
        "digest": configuration.digest,
    }


async def _stale(work: UnitOfWork, data_row: DataRowRow, revision: int) -> PreconditionFailed:
    current = await read_review(work.session, data_row)
    return PreconditionFailed(
        "somebody has decided about this data row since you read it",
        extra={"current_etag": etag(revision), "current": current.model_dump(mode="json")},
    )
