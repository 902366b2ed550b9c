"""Previews as HTTP takes them. `Preview` itself is in `shared.contracts.resources`."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.model_runs.schemas import AlignmentCreate, Criteria

MAX_SAMPLE = 1000
DEFAULT_SAMPLE = 50
_UNIT: dict[str, Any] = {"minimum": 0, "maximum": 1}

Threshold = Annotated[float, Field(allow_inf_nan=False, json_schema_extra=_UNIT)]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class SampleCreate(_Sent):
    """Which data rows: so many by a method, or those chosen by id, or those of another preview.

    `random` takes the data rows with the smallest SHA-256 of `<seed>:<global_key>`, so the same seed and data rows give
    the same sample in whatever order they were imported. `stratified` takes of each value of the metadata `field` in
    proportion to its data rows, at least one, and the same way within each. `first` takes the oldest.
    """

    size: int = Field(default=DEFAULT_SAMPLE, ge=1, le=MAX_SAMPLE)
    method: Literal["random", "first", "stratified"] = "random"
    field: str | None = Field(default=None, min_length=1, max_length=200, description="of the metadata; for stratified")
    seed: int = Field(default=0, ge=0, lt=2**63)
    data_row_ids: tuple[UUID, ...] | None = Field(default=None, min_length=1, max_length=MAX_SAMPLE)
    preview_id: UUID | None = Field(default=None, description="the data rows of this preview again, for comparing")


class PreviewCreate(_Sent):
    """A model to try on a sample. Without `alignment` the suggested one is used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_id": "0199f1a2-7c5e-7f0a-8d3b-5c6e7f809102",
                    "threshold": 0.4,
                    "sample": {"size": 50, "method": "random", "seed": 7},
                    "alignment": {
                        "entries": [
                            {
                                "model_class": "person",
                                "target": {"feature_schema_id": "0199f1a2-7c5e-7f0a-8d3b-5c6e7f809103"},
                            }
                        ]
                    },
                }
            ]
        }
    )

    model_id: UUID
    name: str = Field(default="", max_length=200, description="the model's name when left out")
    alignment: AlignmentCreate | None = None
    threshold: Threshold | None = Field(
        default=None, description="for every entry without its own; the card's default when left out"
    )
    criteria: Criteria = Field(default={}, description="plain words for each class, for models that take them")
    sample: SampleCreate = SampleCreate()


class PreviewUpdate(_Sent):
    """A merge patch: what is left out stays. First `alignment`, then `threshold`, then `thresholds` take effect."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"threshold": 0.35, "thresholds": {"person": 0.6}}]},
    )

    alignment: AlignmentCreate | None = Field(default=None, description="in place of the whole present one")
    threshold: Threshold | None = Field(
        default=None, description="for all entries; with `alignment` only for those without their own"
    )
    thresholds: dict[Annotated[str, Field(min_length=1, max_length=500)], Threshold] | None = Field(
        default=None, max_length=2000, description="for all entries of these model classes"
    )
