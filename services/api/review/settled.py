"""What a label says, as a value: its feature, its geometry or answer, and the answers under it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from services.api.review.schemas import Difference
from shared.annotations import ANNOTATION, Annotation
from shared.answers import Answer
from shared.database.tables import LabelRow

Json = dict[str, Any]
Claim: TypeAlias = tuple[UUID, UUID | None]
"""What a data row has once: a feature, and for a checklist the option."""


@dataclass(frozen=True, slots=True)
class Settled:
    feature_schema_id: UUID
    annotation: Annotation
    classifications: tuple[Answer, ...] = ()

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "Settled":
        """From `shown`, `before` or `made` of a decision."""
        return cls(
            UUID(stored["feature_schema_id"]),
            ANNOTATION.validate_python(stored["annotation"]),
            tuple(Answer.model_validate(answer) for answer in stored["classifications"]),
        )

    @classmethod
    def of_label(cls, label: LabelRow) -> "Settled":
        classifications = tuple(Answer.model_validate(answer) for answer in label.classifications)
        return cls(label.feature_schema_id, ANNOTATION.validate_python(label.annotation), classifications)

    def json(self) -> Json:
        return {
            "feature_schema_id": str(self.feature_schema_id),
            "annotation": self.annotation.model_dump(mode="json", exclude_none=True),
            "classifications": [answer.model_dump(mode="json", exclude_none=True) for answer in self.classifications],
        }

    def claims(self) -> set[Claim]:
        return {(self.feature_schema_id, claim) for claim in self.annotation.claims()}

    def named(self) -> set[UUID]:
        """Every feature and option in it."""
        answers = [one for answer in self.classifications for one in answer.annotation.option_ids()]
        features = (answer.feature_schema_id for answer in self.classifications)
        return {self.feature_schema_id, *self.annotation.option_ids(), *features, *answers}


def difference(before: Settled, after: Settled) -> Difference:
    comparable = type(before.annotation) is type(after.annotation)
    return Difference(
        likeness=before.annotation.likeness(after.annotation) if comparable else None,
        annotation_changed=before.annotation != after.annotation,
        feature_changed=before.feature_schema_id != after.feature_schema_id,
        answers_changed=sorted(_changed(before.classifications, after.classifications)),
    )


def _changed(before: Sequence[Answer], after: Sequence[Answer]) -> set[UUID]:
    one, other = ({answer.feature_schema_id: answer.annotation for answer in of} for of in (before, after))
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
