"""Policies as HTTP takes and shows them. Only editors see them: who judges an audit must not know of it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

LONGEST_WINDOW = 10_000

PolicyState = Literal["active", "stopped", "withdrawn"]


class PolicyCreate(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra={
            "examples": [
                {
                    "name": "sure people",
                    "feature_schema_id": "01a20f0e-0000-7000-8000-000000000000",
                    "threshold": 0.9,
                    "target_precision": 0.95,
                    "audit_share": 0.1,
                }
            ]
        },
    )

    name: str = Field(default="", max_length=200)
    feature_schema_id: UUID = Field(description="accept pre-labels shown as this feature")
    option_id: UUID | None = Field(default=None, description="and as this option of it alone")
    catalog_model_id: UUID | None = Field(default=None, description="of runs of this model version alone")
    threshold: float = Field(ge=0, le=1, allow_inf_nan=False, description="of this confidence or more")
    target_precision: float = Field(default=0.95, ge=0.5, le=0.999, allow_inf_nan=False)
    confidence: float = Field(
        default=0.95, ge=0.5, le=0.999, allow_inf_nan=False, description="how sure it must be that the target is kept"
    )
    audit_share: float = Field(
        default=0.1, ge=0.01, le=1, allow_inf_nan=False, description="of the data rows, left to people at random"
    )
    window_audits: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_WINDOW,
        description="the rule looks at so many audits, the last ones; by default four times the least possible",
    )
    same_from: float = Field(
        default=0.5, ge=0, le=1, allow_inf_nan=False, description="an edit is right from this likeness on"
    )


class PolicyApply(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra={"examples": [{"model_run_id": "01a20f0e-0000-7000-8000-000000000000"}]},
    )

    model_run_id: UUID


class PolicyAudits(BaseModel):
    """How the audits stand. The window has the last ones that are judged."""

    drawn: int = Field(description="pre-labels left to people")
    judged: int
    window_judged: int
    window_wrong: int
    allowed_wrong: int = Field(description="with more than so many in the window the policy stops")
    precision: float | None = Field(description="of the window")
    lower_bound: float | None = Field(description="of the precision, one-sided and exact")


class PolicyNotice(BaseModel):
    """How soon the rule notices a precision that has fallen."""

    precision: float
    within_audits: int | None = Field(description="with `confidence`; null when it may take longer than a window")


class Policy(BaseModel):
    """Accept a feature at a confidence or more, as long as audits show that it may."""

    model_config = ConfigDict(protected_namespaces=())

    id: UUID
    project_id: UUID
    name: str
    feature_schema_id: UUID
    option_id: UUID | None
    catalog_model_id: UUID | None
    threshold: float
    target_precision: float
    confidence: float
    audit_share: float
    window_audits: int
    same_from: float
    state: PolicyState = Field(description="stopped by its rule, or withdrawn by a person: both for good")
    state_reason: str | None
    accepted: int = Field(description="pre-labels it has accepted, those that were undone since among them")
    audits: PolicyAudits
    notices: list[PolicyNotice]
    created_by: UUID
    created_at: datetime
    ended_at: datetime | None


class PolicyWork(BaseModel):
    """Parameters of the operation that applies a policy, with how far it has come."""

    model_config = ConfigDict(protected_namespaces=())

    policy_id: UUID
    model_run_id: UUID
    alignment_version: int
    requested_at: datetime
    last: UUID | None = None
    accepted: int = 0
    data_rows: int = 0
    skipped: dict[str, int] = {}
