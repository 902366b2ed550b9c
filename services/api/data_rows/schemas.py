"""Data rows and batches as HTTP takes and shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from shared.database.tables import BatchRow, DataRowContentRow, DataRowRow

MAX_ITEMS = 1000
MAX_TEXT_LENGTH = 1_000_000
MAX_BATCH_IDS = 100_000

GlobalKey = Annotated[str, Field(min_length=1, max_length=500, description="your own name for it, unique in a project")]
Status = Literal["created", "unchanged", "failed"]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataRowCreate(_Sent):
    """`uri` in image projects: `store://…` of this workspace, or `https://` of an allowed host. `text` in text ones."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"global_key": "street-1.jpg", "uri": "https://images.example.org/street-1.jpg"},
                {"global_key": "mail-17", "text": "The parcel never came.", "metadata": {"lang": "en"}},
            ]
        }
    )

    global_key: GlobalKey
    uri: str | None = Field(default=None, min_length=1, max_length=2000)
    text: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT_LENGTH)
    metadata: dict[str, JsonValue] = Field(default_factory=dict, max_length=200)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.uri is None) == (self.text is None):
            raise ValueError("exactly one of uri and text is needed")
        return self


class DataRowsCreate(_Sent):
    """Items are checked one by one: a wrong one fails alone."""

    items: list[Any] = Field(min_length=1, max_length=MAX_ITEMS)


DATA_ROWS_CREATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_ITEMS,
            "items": DataRowCreate.model_json_schema(),
        }
    },
    "examples": [{"items": [{"global_key": "street-1.jpg", "uri": "https://images.example.org/street-1.jpg"}]}],
}


class LineError(BaseModel):
    code: str = Field(examples=["global_key_taken"])
    detail: str
    pointer: str = Field(default="", description="where in the line or item, as a JSON pointer")


class LineResult(BaseModel):
    """What became of one line, item or file. `unchanged`: the same was there already."""

    line: int | None = Field(description="counts from 1; null where the stream itself ended early")
    global_key: str | None
    status: Status
    id: UUID | None = None
    error: LineError | None = None


class DataRowsImport(BaseModel):
    results: list[LineResult]
    created: int
    unchanged: int
    failed: int

    @classmethod
    def of(cls, results: list[LineResult]) -> Self:
        counts = {status: sum(one.status == status for one in results) for status in ("created", "unchanged", "failed")}
        return cls(results=results, **counts)


class DataRow(BaseModel):
    """One thing to label. Facts about its content are null until somebody has read it."""

    id: UUID
    project_id: UUID
    global_key: str
    metadata: dict[str, Any]
    uri: str | None = Field(description="null when the text itself is stored")
    content_url: str = Field(description="where the content can be read with the same key")
    mime_type: str | None
    sha256: str | None
    byte_size: int | None
    width: int | None = Field(description="pixels of the EXIF-oriented image")
    height: int | None
    length: int | None = Field(description="Unicode code points of a text")
    created_at: datetime

    @classmethod
    def from_rows(cls, row: DataRowRow, content: DataRowContentRow) -> Self:
        return cls(
            id=row.id,
            project_id=row.project_id,
            global_key=row.global_key,
            metadata=row.metadata_,
            uri=content.uri,
            content_url=f"/v1/data-rows/{row.id}/content",
            mime_type=content.mime_type,
            sha256=content.sha256.hex() if content.sha256 else None,
            byte_size=content.byte_size,
            width=content.width,
            height=content.height,
            length=content.length,
            created_at=row.created_at,
        )


class BatchCreate(_Sent):
    model_config = ConfigDict(
        str_strip_whitespace=True, json_schema_extra={"examples": [{"name": "first hundred", "all": True}]}
    )

    name: str = Field(min_length=1, max_length=200)
    data_row_ids: list[UUID] | None = Field(default=None, min_length=1, max_length=MAX_BATCH_IDS)
    all: Literal[True] | None = Field(default=None, description="every data row the project has now")
    priority: int = Field(default=3, ge=1, le=5, description="1 is the most urgent")

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if (self.data_row_ids is None) == (self.all is None):
            raise ValueError("exactly one of data_row_ids and all is needed")
        return self


class Batch(BaseModel):
    """A named set of data rows; it never changes."""

    id: UUID
    project_id: UUID
    name: str
    priority: int
    size: int
    created_at: datetime

    @classmethod
    def from_row(cls, row: BatchRow) -> Self:
        return cls.model_validate(row, from_attributes=True)
