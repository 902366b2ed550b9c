"""Models on servers of others (Open Inference Protocol): where they are, and what they are held to."""

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.model_card import ModelCard, digest_of

Address = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._\[\]:-]{1,253}:[0-9]{1,5}$", examples=["triton.example.org:8001"])
]
ServedName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class ServedAt(BaseModel):
    """`version` is empty where the server chooses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Address
    model: ServedName
    version: str = Field(default="", max_length=50, pattern=r"^[^\x00-\x1f]*$")


class Pin(BaseModel):
    """What the server reported at registration: SHA-256 of the model's metadata, and a sample of its answer to a fixed
    probe, by output. It stands in for the digest of weights that nobody can see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata: str
    answer: dict[str, tuple[float, ...]]


def submission_of(card: ModelCard, served_at: ServedAt) -> str:
    """What a registration asked for, as one digest."""
    where = json.dumps(served_at.model_dump(), sort_keys=True).encode()
    return digest_of(card, {"served_at": where})
