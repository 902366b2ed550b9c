"""Withholding as HTTP takes and shows it."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

LARGEST_SHARE = 0.5


class WithholdingUpdate(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"share": 0.05}]})

    share: float = Field(
        ge=0,
        le=LARGEST_SHARE,
        allow_inf_nan=False,
        description="of the data rows that runs, previews and imports are made for from now on; 0 draws no more",
    )


class Withholding(BaseModel):
    """Which share of the data rows gets no pre-labels. Which rows those are is shown nowhere."""

    project_id: UUID
    share: float
    withheld: int = Field(description="data rows drawn so far; they stay withheld for good")
    submitted: int = Field(description="of these, those whose review was submitted")
    created_at: datetime | None = Field(description="null while nothing has ever been withheld")
    updated_at: datetime | None
