"""What a foreign ontology offers: how to read it, and what of it ours cannot hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.api.exchange.losses import Losses
from shared.ontology import Ontology
from shared.preprocessing import MediaType


@dataclass(frozen=True, slots=True)
class ReadingOntology:
    """`content` is the whole body. Losses are counted by what they are about, an element of the foreign ontology."""

    content: bytes
    media_type: MediaType
    losses: Losses


@dataclass(frozen=True, slots=True)
class OntologyFormat:
    """`read` gives nodes without ids and raises `formats.base.UnusableUpload`."""

    name: str
    title: str
    takes: Sequence[str]
    losses: Mapping[str, str]
    read: Callable[[ReadingOntology], Ontology]
