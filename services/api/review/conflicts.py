"""What stands against decisions about pre-labels that are shown."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from services.api.review.proof import Proven
from shared.alignment import PreLabel
from shared.annotations import ANNOTATION
from shared.database.tables import LabelRow
from shared.errors import Conflict, FieldError, Problems
from shared.ontology import FeatureSchema

Claim = tuple[UUID, UUID | None]
"""A feature, and the option where each option is an answer of its own."""


def check_conflicts(
    proven: Sequence[Proven], labels: Sequence[LabelRow], features: Mapping[UUID, FeatureSchema]
) -> None:
    """Raises Conflict with all of them. `labels` are the data row's, `features` those of the present ontology."""
    problems = Problems()
    claimed: set[Claim] = {
        (label.feature_schema_id, claim)
        for label in labels
        for claim in ANNOTATION.validate_python(label.annotation).claims()
    }
    for one in proven:
        if one.decided:
            problems.add(_pointer(one), "already_decided", "somebody has decided this pre-label already")
        elif one.action == "accept":
            _check_accept(one, claimed, features, problems)
    if problems.errors:
        errors: list[FieldError] = problems.errors
        raise Conflict("some of these decisions cannot be made any more", code="decision_conflict", errors=errors)


def _check_accept(one: Proven, claimed: set[Claim], features: Mapping[UUID, FeatureSchema], problems: Problems) -> None:
    target = one.pre_label.target
    if any(part not in features for part in _named(one.pre_label)):
        problems.add(_pointer(one), "feature_removed", "the ontology no longer has what this pre-label names")
        return
    wanted = {(target.feature_schema_id, claim) for claim in one.pre_label.annotation.claims()}
    if wanted & claimed:
        problems.add(_pointer(one), "already_answered", "the data row has this answer, or the only one there can be")
    claimed |= wanted


def _named(pre_label: PreLabel) -> Iterator[UUID]:
    """Every feature and option that the label would name."""
    yield pre_label.target.feature_schema_id
    if pre_label.target.option_id is not None:
        yield pre_label.target.option_id
    for answer in pre_label.answers:
        yield answer.feature_schema_id
        yield from answer.annotation.option_ids()


def _pointer(one: Proven) -> str:
    return f"/decisions/{one.index}"
