"""How an event is stored and sent."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel


class Subject(BaseModel):
    kind: str
    id: UUID


class Envelope(BaseModel):
    """An event as it is stored and sent. `actor` is `member:<id>` or `service:<name>`."""

    id: UUID
    type: str
    version: int
    subject: Subject
    actor: str
    occurred_at: datetime
    data: dict[str, Any]
