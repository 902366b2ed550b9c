"""The review queue as HTTP takes and shows it."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.model_runs.schemas import PreLabel

MOST_HELD = 50
FEWEST_COMPARED, MOST_COMPARED = 2, 5

QueueOrder = Literal["uncertainty", "least_confidence", "margin", "entropy", "disagreement", "priority", "position"]
Minutes = Annotated[int, Field(ge=1, le=120, description="for how long, by the database's clock")]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class QueueFilter(_Sent):
    """`uncertainty` is another word for `least_confidence`."""

    order: QueueOrder = "uncertainty"
    model_run_id: UUID | None = Field(
        default=None, description="only data rows this run has results for, as it saw them"
    )
    batch_id: UUID | None = None
    feature_schema_id: UUID | None = Field(
        default=None, description="only data rows with a detection that a run's alignment lets through for this feature"
    )


class ReserveCreate(QueueFilter):
    """`count` is how many data rows you hold afterwards, those you hold already among them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"order": "margin", "count": 2, "minutes": 10}]})

    count: int = Field(default=1, ge=1, le=MOST_HELD)
    minutes: Minutes = 10


class ReservationUpdate(_Sent):
    model_config = ConfigDict(json_schema_extra={"examples": [{"minutes": 10}]})

    minutes: Minutes = 10


class Reservation(BaseModel):
    data_row_id: UUID
    reserved_by: UUID
    reserved_until: datetime


class QueuedRow(BaseModel):
    """A data row to review. `revision` is for If-Match; `score` is what the order went by, where that is a number."""

    data_row_id: UUID
    global_key: str
    revision: int
    score: float | None
    reserved_by: UUID | None
    reserved_until: datetime | None
    pre_labels: list[PreLabel]


class ReservedRows(BaseModel):
    items: list[QueuedRow]


class RunComparisonCreate(_Sent):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_run_ids": [
                        "01a20f0e-0000-7000-8000-000000000000",
                        "01a20f0e-0000-7000-8000-000000000001",
                    ]
                }
            ]
        }
    )

    model_run_ids: tuple[UUID, ...] = Field(min_length=FEWEST_COMPARED, max_length=MOST_COMPARED)
