"""Deciding in bulk, as HTTP takes it and as its operations remember it."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

Skip = Literal["reserved", "submitted", "changed", "busy", "conflict"]


class BulkFilter(BaseModel):
    """Pending pre-labels of one run, by what they are shown as, what the model called them and how sure it was."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    action: Literal["accept", "reject"]
    model_run_id: UUID
    feature_schema_id: UUID | None = None
    model_class: str | None = Field(default=None, max_length=500)
    confidence_min: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    confidence_max: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    dry_run: bool = Field(default=False, description="count only")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.confidence_min > self.confidence_max:
            raise ValueError("confidence_min must not lie above confidence_max")
        return self


class BulkCreate(BulkFilter):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "accept",
                    "model_run_id": "01a20f0e-0000-7000-8000-000000000000",
                    "model_class": "person",
                    "confidence_min": 0.9,
                    "dry_run": True,
                }
            ]
        }
    )


class BulkCounts(BaseModel):
    """`skipped` counts data rows by reason, and under `conflict` the pre-labels that cannot become labels there:
    the data row has that answer, or the ontology lost the feature."""

    pre_labels: int = 0
    data_rows: int = 0
    skipped: dict[Skip, int] = Field(default={}, examples=[{"reserved": 3, "submitted": 1}])


class BulkWork(BulkFilter):
    """An operation's parameters, with how far it has come: `last` is the last data row it has looked at."""

    alignment_version: int
    requested_at: datetime
    last: UUID | None = None
    counts: BulkCounts = BulkCounts()


class UndoCounts(BaseModel):
    """`kept` counts the decisions that stay: somebody has changed what came of them, or works on the data row."""

    undone: int = 0
    kept: int = 0


class UndoWork(BaseModel):
    """An operation's parameters: the bulk, and how far its undo has come."""

    operation_id: UUID
    last: UUID | None = None
    counts: UndoCounts = UndoCounts()
