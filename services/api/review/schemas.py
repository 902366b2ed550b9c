"""Review as HTTP takes and shows it."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.annotations import ANNOTATION, Annotation
from shared.answers import Answer
from shared.database.tables import DecisionRow, LabelRow

MAX_DECISIONS = 1000

StoredAction = Literal["accept", "edit", "reject", "add", "delete", "undo"]

PreLabelText = Annotated[str, Field(min_length=1, max_length=200)]
Answers = Annotated[tuple[Answer, ...], Field(max_length=1000)]
Seconds = Annotated[
    float | None,
    Field(ge=0, le=86_400, allow_inf_nan=False, description="how long it took, for the measure of seconds a row"),
]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AcceptCreate(_Sent):
    """The pre-label becomes a label as it is."""

    action: Literal["accept"]
    pre_label_id: PreLabelText


class RejectCreate(_Sent):
    action: Literal["reject"]
    pre_label_id: PreLabelText


class EditCreate(_Sent):
    """A pre-label becomes a label that differs, or a label is changed. What is left out stays as it is."""

    action: Literal["edit"]
    pre_label_id: PreLabelText | None = None
    label_id: UUID | None = None
    feature_schema_id: UUID | None = None
    annotation: Annotation | None = None
    classifications: Answers | None = None

    @model_validator(mode="after")
    def _is_about_one(self) -> Self:
        if (self.pre_label_id is None) == (self.label_id is None):
            raise ValueError("an edit is of a pre_label_id or of a label_id")
        return self


class AddCreate(_Sent):
    """A label that no model has proposed."""

    action: Literal["add"]
    feature_schema_id: UUID
    annotation: Annotation
    classifications: Answers = ()


class DeleteCreate(_Sent):
    """The label goes. Of one that was a pre-label, that is a reject."""

    action: Literal["delete"]
    label_id: UUID


class UndoCreate(_Sent):
    """Takes back a decision that stands: all is as it was before it."""

    action: Literal["undo"]
    decision_id: UUID


DecisionCreate = Annotated[
    AcceptCreate | EditCreate | RejectCreate | AddCreate | DeleteCreate | UndoCreate, Field(discriminator="action")
]


class DecisionsCreate(_Sent):
    """All of them are stored, or none. `submit` also ends the review of the data row."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"decisions": [{"pre_label_id": "pl_AZ8bo…", "action": "accept"}]}]}
    )

    decisions: tuple[DecisionCreate, ...] = Field(min_length=1, max_length=MAX_DECISIONS)
    seconds: Seconds = None
    submit: bool = False


class ReviewSubmit(_Sent):
    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 12.5}]})

    seconds: Seconds = None


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
    decision_id: UUID | None = Field(description="the decision that made it what it is; null where it was imported")
    created_by: UUID
    created_at: datetime
    updated_at: datetime

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
            decision_id=row.decision_id,
            created_by=row.created_by,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


class Difference(_Shown):
    """How far a label is from what it was made of.

    `likeness` is the share that both geometries have in common (of boxes, polygons, masks and spans: intersection over
    union), 1 or 0 for what has no extent, and null where they are of different kinds.
    """

    likeness: float | None
    annotation_changed: bool
    feature_changed: bool
    answers_changed: list[UUID] = Field(description="the nested classifications whose answers differ")


class Decision(_Shown):
    """What a person did. `shown` is a copy of the pre-label they saw, `made` what became of it where that differs."""

    id: UUID
    action: StoredAction
    pre_label_id: str | None
    model_run_id: UUID | None
    feature_schema_id: UUID
    option_id: UUID | None
    shown: dict[str, Any] | None
    before: dict[str, Any] | None = Field(description="the label before an edit or a delete")
    made: dict[str, Any] | None = Field(description="the label made of it; null where it is what was shown")
    difference: Difference | None = Field(
        description="of an edit: what was shown, or was before, against what was made"
    )
    label_id: UUID | None
    replaces: UUID | None = Field(description="the decision that stood before this one")
    undoes: UUID | None
    undone: bool = Field(description="it does not stand: a later decision replaced or undid it")
    revision: int
    operation_id: UUID | None = Field(description="the bulk it belongs to")
    decided_by: UUID
    decided_at: datetime
    origin: dict[str, Any] | None = Field(
        description="of one that came in by an import: what it was called, who decided it and when"
    )

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
    seconds: float | None = Field(description="the time people said they spent on it, added up")
    submitted_by: UUID | None
    submitted_at: datetime | None
    origin: dict[str, Any] | None = Field(
        description="while it is as an import left it: who submitted it where it came from, when, and the seconds there"
    )
    labels: list[Label]
    decisions: list[Decision]
