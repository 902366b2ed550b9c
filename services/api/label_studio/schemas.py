"""What Label Studio sends to a machine learning backend, and what it takes for an answer."""

import json
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_TASKS = 1000


class _Sent(BaseModel):
    """Label Studio sends more with every version; what is not needed here is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class BackendSettings(BaseModel):
    """What a Label Studio project may say in its "extra params"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(
        default=None, min_length=1, max_length=200, description="slug or id; the one that fits best when left out"
    )
    threshold: float | None = Field(default=None, ge=0, le=1, description="the card's default when left out")


class LabelStudioSetup(_Sent):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"project": "7.1764000000", "schema": "<View>…</View>", "extra_params": {"threshold": 0.4}}]
        }
    )

    project: str = Field(default="", max_length=200)
    config: str = Field(alias="schema", description="the labeling configuration")
    extra_params: BackendSettings | None = None

    @field_validator("extra_params", mode="before")
    @classmethod
    def _written_as_text(cls, value: Any) -> Any:
        """Label Studio hands over what was typed, which may be JSON or JSON in a string."""
        if isinstance(value, str):
            try:
                return json.loads(value) if value.strip() else None
            except (ValueError, RecursionError) as error:
                raise ValueError("extra params should be a JSON object") from error
        return value or None


class LabelStudioTask(_Sent):
    id: int | str = 0
    data: dict[str, Any]


class LabelStudioPredict(_Sent):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tasks": [{"id": 1, "data": {"image": "https://images.example.org/street-1.jpg"}}],
                    "project": "7.1764000000",
                    "label_config": "<View>…</View>",
                }
            ]
        }
    )

    tasks: tuple[LabelStudioTask, ...] = Field(min_length=1, max_length=MAX_TASKS)
    project: str = Field(default="", max_length=200)
    label_config: str


class LabelStudioHealth(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    status: str = Field(default="UP", examples=["UP"])
    model_class: str = Field(default="Prelabel", examples=["Prelabel"])


class LabelStudioReady(BaseModel):
    """`unmatched_labels` are those of the configuration that no feature of the ontology is named like."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str = Field(examples=["detect-nanodet 1 @0.4"])
    unmatched_labels: list[str]


class LabelStudioPrediction(BaseModel):
    """`score` is that of the least sure region."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    score: float | None
    result: list[dict[str, Any]]


class LabelStudioFailure(BaseModel):
    task: int
    data_row_id: UUID | None
    code: str
    detail: str


class LabelStudioPredictions(BaseModel):
    """A list a task, in their order: one prediction, or none where the task failed; `failures` say why.

    `dropped` counts pre-labels that the labeling configuration has no place for, by name of the feature.
    """

    results: list[list[LabelStudioPrediction]]
    failures: list[LabelStudioFailure]
    dropped: dict[str, int]
