"""What a model run froze at submit: enough to repeat it, and all a worker needs besides the rows."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.model_card import ModelCard


class RunConfiguration(BaseModel):
    """`floor` is the lowest confidence stored; `digest` names the exact model version."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    catalog_model_id: UUID
    digest: str
    triton_model: str
    card: ModelCard
    floor: float
    ontology_version: int
    criteria: dict[str, str] = {}
    batch_ids: tuple[UUID, ...] = ()
    only_unlabeled: bool = False
    limit: int | None = None
