"""What a cell is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.faults.trial import Trial

Act: TypeAlias = Callable[[Trial], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Cell:
    """`seconds` is about how long it takes: the longest begin first. `quick` ones are in `make test` too."""

    act: Act
    seconds: int = 15
    quick: bool = False
