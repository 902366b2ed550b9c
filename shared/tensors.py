"""Inputs and outputs of a model, as its card declares them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Datatype = Literal["BOOL", "UINT8", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"]
Axis = Annotated[int, Field(ge=-1, le=2**31 - 1)]


class CardPart(BaseModel):
    """Base of all that stands in a model card: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(CardPart):
    """One input or output; `shape` without the batch axis, -1 where it is free."""

    # What stands in the text of config.pbtxt without being quoted.
    name: str = Field(min_length=1, max_length=200, pattern=r'^[^"\\\x00-\x1f]+$')
    datatype: Datatype
    shape: tuple[Axis, ...] = Field(max_length=8)

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a row of this shape fits."""
        return len(shape) == len(self.shape) and all(
            wanted in (-1, side) for wanted, side in zip(self.shape, shape, strict=True)
        )
