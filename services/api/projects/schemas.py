"""Projects and ontologies as HTTP takes and shows them. `Project` itself is in `shared.contracts.resources`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.database.tables import OntologyRow
from shared.ontology import Classification, Ontology, Tool
from shared.preprocessing import MediaType

_ONTOLOGY: JsonValue = {"tools": [{"type": "bounding_box", "name": "Person"}]}


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class ProjectCreate(_Sent):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Street scenes", "media_type": "image", "ontology": _ONTOLOGY}]}
    )

    name: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=4000)
    media_type: MediaType
    ontology: Ontology | None = None


class ProjectUpdate(_Sent):
    """A merge patch: what is left out stays. The media type never changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Street scenes, Berlin"}]})

    name: str = Field(default="", min_length=1, max_length=200)
    description: str = Field(default="", max_length=4000)


class OntologyVersion(BaseModel):
    """One version of a project's ontology. Version 0 is empty: there is none yet."""

    version: int
    tools: tuple[Tool, ...]
    classifications: tuple[Classification, ...]
    created_at: datetime | None
    created_by: UUID | None

    @classmethod
    def from_row(cls, row: OntologyRow | None) -> Self:
        tree = Ontology.model_validate(row.tree) if row else Ontology()
        return cls(
            version=row.version if row else 0,
            tools=tree.tools,
            classifications=tree.classifications,
            created_at=row.created_at if row else None,
            created_by=row.created_by if row else None,
        )


class ReadinessCheck(BaseModel):
    code: str = Field(examples=["data_rows"])
    ok: bool
    detail: str
    fix: str | None = Field(description="what to do about it; null when nothing is to be done")


class Readiness(BaseModel):
    """Whether model-assisted labeling is possible in the project, and which step is missing if not."""

    ready: bool
    checks: list[ReadinessCheck]


class LoggedProjectEvent(BaseModel):
    offset: int
    event: dict[str, Any] = Field(description="the envelope, as websockets send it")


@dataclass(frozen=True, slots=True)
class EventsWanted:
    after: int
    epoch: str | None
    limit: int


class ProjectEvents(BaseModel):
    """Events after an offset, in order. Go on after the last offset until it is `head`.

    Where `recovered` is false, some of what came after `after` is not there any more: read the resources again, then go
    on after `head`.
    """

    epoch: UUID = Field(description="offsets of another epoch mean nothing")
    first_offset: int = Field(description="the oldest event that is still there")
    head: int = Field(description="the newest event")
    recovered: bool = Field(
        description="false when events after `after` were trimmed, or it lies beyond `head`, or the `epoch` that was "
        "given is another"
    )
    items: list[LoggedProjectEvent]
