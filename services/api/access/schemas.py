"""Members, API keys and tickets as HTTP shows them."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.api.access.principal import Role
from shared.api_keys import ApiKeySecret
from shared.database.tables import ApiKeyRow, MemberRow


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class MemberCreate(_Sent):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada", "role": "labeler"}]})

    name: str = Field(min_length=1, max_length=200)
    role: Role


class MemberUpdate(_Sent):
    """A merge patch: what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "editor"}, {"disabled": True}]})

    name: str = Field(default="", min_length=1, max_length=200)
    role: Role = Role.VIEWER
    disabled: bool = False


class Member(BaseModel):
    """A person or program that acts. One that is disabled cannot, and neither can its keys."""

    id: UUID
    name: str
    role: Role
    disabled: bool
    created_at: datetime

    @classmethod
    def from_row(cls, row: MemberRow) -> Self:
        return cls(
            id=row.id,
            name=row.name,
            role=Role(row.role),
            disabled=row.disabled_at is not None,
            created_at=row.created_at,
        )


class ApiKeyCreate(_Sent):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "nightly import"}]})

    name: str = Field(min_length=1, max_length=200)
    member_id: UUID | None = Field(default=None, description="whose key it is; your own when left out")
    expires_at: AwareDatetime | None = None


class ApiKey(BaseModel):
    id: UUID
    member_id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None = Field(description="to within a minute")
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def from_row(cls, row: ApiKeyRow) -> Self:
        return cls.model_validate(row, from_attributes=True)


class ApiKeyCreated(ApiKey):
    secret: str | None = Field(
        description="the key itself, shown this once; null in the replay of an `Idempotency-Key`",
        examples=["plk_0199f1a27c5e7f0a8d3b5c6e7f809102_…"],
    )

    @classmethod
    def of(cls, row: ApiKeyRow, secret: ApiKeySecret) -> Self:
        return cls(**ApiKey.from_row(row).model_dump(), secret=str(secret))


class WebsocketTicket(BaseModel):
    ticket: str = Field(description="for the `init` message; serves once")
    expires_at: datetime
    url: str | None = Field(description="where the notifier listens, if the operator said so")
