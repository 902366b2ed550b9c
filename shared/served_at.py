"""Models on servers of others: where they are, and what they are held to.

A server speaks the Open Inference Protocol over gRPC, or is an ML backend of Label Studio.
"""

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.model_card import ModelCard, digest_of

Address = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._\[\]:-]{1,253}:[0-9]{1,5}$", examples=["triton.example.org:8001"])
]
BackendUrl = Annotated[
    str,
    Field(
        pattern=r"^https?://[A-Za-z0-9._\[\]:-]{1,260}(/[A-Za-z0-9._~/-]{0,200})?$",
        examples=["https://ml.example.org"],
    ),
]


def _is_none(value: object) -> bool:
    """Left out when written: workers of the release before take no field that they do not know."""
    return value is None


ServedName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class ServedAt(BaseModel):
    """`version` is empty where the server chooses. A backend of Label Studio has a labeling configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Address | BackendUrl
    model: ServedName
    version: str = Field(default="", max_length=50, pattern=r"^[^\x00-\x1f]*$")
    label_config: str | None = Field(default=None, exclude_if=_is_none, description="of an ML backend of Label Studio")

    @property
    def is_label_studio(self) -> bool:
        return self.label_config is not None


class Pin(BaseModel):
    """What the server reported at registration: SHA-256 of the model's metadata, and a sample of its answer to a fixed
    probe, by output. It stands in for the digest of weights that nobody can see.

    `version` is what its answers say of themselves, where they do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata: str
    answer: dict[str, tuple[float, ...]]
    version: str | None = Field(default=None, exclude_if=_is_none)


def submission_of(card: ModelCard, served_at: ServedAt) -> str:
    """What a registration asked for, as one digest."""
    where = json.dumps(served_at.model_dump(), sort_keys=True).encode()
    return digest_of(card, {"served_at": where})
