"""What a model run froze at submit: enough to repeat it, and all a worker needs besides the rows."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.model_card import ModelCard
from shared.served_at import Pin, ServedAt

SampleMethod = Literal["random", "first", "stratified", "chosen"]


class Sample(BaseModel):
    """How the data rows of a preview were chosen. `size` is what was asked for; there may be fewer data rows.

    `preview_id` is the preview whose data rows were taken again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: SampleMethod
    size: int
    seed: int | None = None
    field: str | None = None
    preview_id: UUID | None = None


class RunConfiguration(BaseModel):
    """`floor` is the lowest confidence stored; `digest` names the exact model version.

    `served_at` and `pin` are of a model on a server of others, whose digest says nothing of its weights.
    A preview has a `sample`; a run that was submitted from a preview has its `preview_id`. With `reuse`, results that
    the workspace has already are copied.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    catalog_model_id: UUID
    digest: str
    triton_model: str
    card: ModelCard
    floor: float
    ontology_version: int
    served_at: ServedAt | None = None
    pin: Pin | None = None
    criteria: dict[str, str] = {}
    batch_ids: tuple[UUID, ...] = ()
    only_unlabeled: bool = False
    limit: int | None = None
    sample: Sample | None = None
    preview_id: UUID | None = None
    reuse: bool = True
