"""What a defect is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Defect:
    """`apply` patches one function in the process it is called in. `seen_as` names the violation that tells of it."""

    service: str
    seen_as: str
    apply: Callable[[], None]
