"""Operations as HTTP shows them."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.http import Problem
from shared.contracts.operations import OperationProgress, OperationState
from shared.database.tables import OperationRow


class Operation(BaseModel):
    """Long work in the background. `result` and `problem` say how it ended."""

    model_config = ConfigDict(protected_namespaces=())

    id: UUID
    kind: str = Field(examples=["realign_model_run"])
    project_id: UUID | None = Field(description="null for work of the workspace")
    state: OperationState
    progress: OperationProgress
    result: dict[str, Any] | None = Field(description="what it did, once it has succeeded")
    problem: Problem | None = Field(description="why it failed")
    created_by: UUID
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def from_row(cls, row: OperationRow) -> Self:
        return cls.model_validate({name: getattr(row, name) for name in cls.model_fields})
