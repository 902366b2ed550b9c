"""What a server says of its models."""

from dataclasses import dataclass
from typing import NamedTuple


class ModelState(NamedTuple):
    """`answered`: the calls that it has answered since it was loaded."""

    state: str
    reason: str = ""
    answered: int = 0


@dataclass(frozen=True, slots=True)
class ReportedTensor:
    """`shape` with the batch axis, where the server counts it in; -1 where a side is free."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """A model as its server reports it."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[ReportedTensor, ...]
    outputs: tuple[ReportedTensor, ...]
