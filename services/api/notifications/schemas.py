"""Notifications as HTTP takes and shows them. `Notifications` itself is in `shared.contracts.resources`."""

from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_IDS = 500


class NotificationsRead(BaseModel):
    """Some by their ids, or all there are now."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"all": True}, {"ids": ["0199f1a2-7c5e-7f0a-8d3b-5c6e7f809102"]}]},
    )

    ids: tuple[UUID, ...] | None = Field(default=None, min_length=1, max_length=MAX_IDS)
    all: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if (self.ids is None) == (self.all is None):
            raise ValueError("exactly one of ids and all is needed")
        return self


class Unread(BaseModel):
    unread: int
