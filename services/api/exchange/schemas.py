"""Exchange as HTTP takes and shows it."""

from datetime import datetime
from typing import get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.exchange.losses import LossCount
from services.api.exchange.rows import What
from services.api.model_runs.schemas import DecisionState


class ExportWanted(BaseModel):
    """What an export is asked for, as query parameters; a format may have more of its own (docs/exchange.md)."""

    model_config = ConfigDict(frozen=True, extra="allow")

    format: str = Field(default="prelabel", max_length=50, examples=["prelabel", "labelbox", "coco"])
    what: What = "labels"
    run: UUID | None = Field(
        default=None, description="pre-labels: the run they are of (required); labels: only those that came of this run"
    )
    batch: UUID | None = Field(default=None, description="only data rows of this batch")
    feature: UUID | None = Field(default=None, description="only labels of this feature schema")
    submitted: bool = Field(default=False, description="only data rows whose review is submitted")
    since: datetime | None = Field(default=None, description="only labels made or changed since")
    state: list[DecisionState] = Field(default=list(get_args(DecisionState)), description="pre-labels: in which states")
    empty_rows: bool = Field(default=False, description="also data rows without any of these labels")


class ExportReport(BaseModel):
    """What an export would hold, and what the format cannot."""

    format: str
    what: What
    data_rows: int
    labels: int
    losses: list[LossCount]
