"""What a decoder is given and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from services.inference.inputs.placement import Placement
from services.inference.triton import Array
from shared.annotations import Annotation
from shared.model_card import ModelCard


@dataclass(frozen=True, slots=True)
class Found:
    """One thing the model saw, in image pixels or code points. `confidence` from 0 to 1."""

    model_class: str
    confidence: float
    annotation: Annotation


class Parameters(BaseModel):
    """Base of a decoder's parameters; unknown ones are an error of the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Outputs: TypeAlias = Mapping[str, Array]
Decode: TypeAlias = Callable[[ModelCard, Any, Outputs, Sequence[Placement]], list[list[Found]]]


@dataclass(frozen=True, slots=True)
class Decoder:
    """`decode` gives one list a row, in the order of the placements, surest first, nothing under the card's floor;
    an empty list is a result. It raises BadModelOutput. `version` rises when its results change.
    """

    version: int
    parameters: type[Parameters]
    decode: Decode
