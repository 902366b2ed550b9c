"""Review as HTTP takes and shows it."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.annotations import ANNOTATION, Annotation
from shared.answers import Answer
from shared.database.tables import DecisionRow, LabelRow

MAX_DECISIONS = 1000

Action = Literal["accept", "reject"]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DecisionCreate(_Sent):
    pre_label_id: str = Field(min_length=1, max_length=200)
    action: Action


class DecisionsCreate(_Sent):
    """All of them are stored, or none."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"decisions": [{"pre_label_id": "pl_AZ8bo…", "action": "accept"}]}]}
    )

    decisions: tuple[DecisionCreate, ...] = Field(min_length=1, max_length=MAX_DECISIONS)


class _Shown(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class Label(_Shown):
    """One object or answer that a person settled. `provenance` is a copy, so it outlives the run it came from."""

    id: UUID
    project_id: UUID
    data_row_id: UUID
    feature_schema_id: UUID
    annotation: Annotation
    classifications: list[Answer]
    provenance: dict[str, Any] = Field(
        description="where it came from: run, model and version, class, confidence, threshold, alignment version, who"
    )
    created_by: UUID
    created_at: datetime

    @classmethod
    def from_row(cls, row: LabelRow) -> Self:
        return cls(
            id=row.id,
            project_id=row.project_id,
            data_row_id=row.data_row_id,
            feature_schema_id=row.feature_schema_id,
            annotation=ANNOTATION.validate_python(row.annotation),
            classifications=[Answer.model_validate(answer) for answer in row.classifications],
            provenance=row.provenance,
            created_by=row.created_by,
            created_at=row.created_at,
        )


class Decision(_Shown):
    """What a person did with a pre-label. `shown` is a copy of what they saw."""

    id: UUID
    action: str = Field(examples=["accept"])
    pre_label_id: str | None
    model_run_id: UUID | None
    feature_schema_id: UUID
    option_id: UUID | None
    shown: dict[str, Any] | None
    label_id: UUID | None
    undone: bool
    revision: int
    decided_by: UUID
    decided_at: datetime

    @classmethod
    def from_row(cls, row: DecisionRow) -> Self:
        return cls.model_validate(
            {
                **{name: getattr(row, name) for name in set(cls.model_fields) - {"pre_label_id"}},
                "pre_label_id": (row.shown or {}).get("pre_label_id"),
            }
        )


class DataRowReview(_Shown):
    """The review of one data row. `revision` rises with human work only; it is the ETag of decisions."""

    data_row_id: UUID
    project_id: UUID
    revision: int
    state: str = Field(examples=["open"])
    updated_at: datetime | None = Field(description="null while nobody has worked on it")
    labels: list[Label]
    decisions: list[Decision]
