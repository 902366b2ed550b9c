"""What a decoder is given and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array
from shared.annotations import Annotation

Attributes: TypeAlias = Mapping[str, str | float | bool]


@dataclass(slots=True)
class Found:
    """One thing the model saw, in image pixels or code points. `confidence` from 0 to 1.

    `attributes`: what else it says of the thing, by the names the card lists.
    """

    model_class: str
    confidence: float
    annotation: Annotation
    attributes: Attributes = field(default_factory=dict)


class Parameters(BaseModel):
    """Base of a decoder's parameters; unknown ones are an error of the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Outputs: TypeAlias = Mapping[str, Array]
Decode: TypeAlias = Callable[[ServedModel, Any, Outputs, Sequence[Placement]], list[list[Found]]]
Embed: TypeAlias = Callable[[Any, Outputs], Array]


@dataclass(frozen=True, slots=True)
class Decoder:
    """`decode` gives one list a row, in the order of the placements, surest first, nothing under the card's floor;
    an empty list is a result. It raises BadModelOutput. `version` rises when its results change.

    `embed` is there when the classes are criteria (`ModelCard.open_ended`): one vector a row out of the outputs for the
    criteria's own texts. `decode` then finds them in `model.vocabulary`.
    """

    version: int
    parameters: type[Parameters]
    decode: Decode
    embed: Embed | None = None
