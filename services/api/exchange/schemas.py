"""Exchange as HTTP takes and shows it."""

from datetime import datetime
from typing import get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.data_rows.schemas import LineError
from services.api.exchange.losses import LossCount
from services.api.exchange.rows import What
from services.api.model_runs.schemas import DecisionState
from services.api.projects.schemas import OntologyVersion


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


class _ImportWanted(BaseModel):
    """As query parameters; a format may have more of its own (docs/exchange.md)."""

    model_config = ConfigDict(frozen=True, extra="allow")

    format: str = Field(default="prelabel", max_length=50, examples=["prelabel", "labelbox", "coco"])


class LabelsImportWanted(_ImportWanted):
    """What an import of labels is asked for."""


class PredictionsImportWanted(_ImportWanted):
    """What an import of predictions is asked for."""

    source: str = Field(min_length=1, max_length=200, description="what made them", examples=["our-detector"])
    source_version: str = Field(default="", max_length=200, examples=["2024-11"])
    name: str = Field(default="", max_length=200, description="of the run; the source's when left out")
    confidence: float = Field(default=1.0, ge=0, le=1, description="of predictions that say none")


class OntologyImported(OntologyVersion):
    """The version that came of it, and what of the foreign ontology was lost."""

    losses: list[LossCount]


class ImportSubmitted(BaseModel):
    """An import that has begun. `repeated`: the same upload was imported already, and this is that one."""

    model_config = ConfigDict(protected_namespaces=())

    operation_id: UUID
    model_run_id: UUID | None = Field(description="the run that predictions become; null for labels")
    repeated: bool
    bytes: int
    sha256: str


class ImportLine(BaseModel):
    """What became of one line, or of one record of a document. Lines come in no order."""

    line: int | str = Field(description="its number from 1, or where in the document it stands")
    status: str = Field(examples=["created"], description="created, unchanged, conflict, deleted, restored or failed")
    id: str | None = Field(default=None, description="what the sender calls it")
    data_row_id: UUID | None = None
    label_id: UUID | None = None
    pre_label_id: str | None = None
    decisions: int | None = Field(default=None, description="how many came in with a data row that is `restored`")
    error: LineError | None = None
