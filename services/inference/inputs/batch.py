"""The memory a batch is prepared in, and the batches that come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.inference.inputs.content import Content, Facts
from services.inference.inputs.placement import Placement
from services.inference.triton import NUMPY_TYPES, Array
from shared.tensors import Datatype


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row that is in the batch's memory."""

    content: Content
    placement: Placement
    facts: Facts


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Every tensor, by the name of its input, has one entry on its first axis for each of `rows`, in their order."""

    tensors: Mapping[str, Array]
    rows: Sequence[Prepared]

    def part(self, rows: slice) -> "PreparedBatch":
        return PreparedBatch({name: tensor[rows] for name, tensor in self.tensors.items()}, self.rows[rows])


@dataclass(slots=True)
class _Group:
    tensors: dict[str, Array]
    rows: list[Prepared] = field(default_factory=list)


class BatchMemory:
    """Rows are prepared where they are sent from: those of the same shapes lie together, one array an input.

    The first row of a shape makes room for all that may follow; the system gives memory only to what is written.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._groups: dict[tuple[tuple[str, tuple[int, ...]], ...], _Group] = {}
        self._open: _Group | None = None

    def row(self, datatypes: Mapping[str, Datatype], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """Where the next row's inputs go, by name, not cleared; `keep` makes them part of the batch."""
        key = tuple(sorted(shapes.items()))
        group = self._groups.get(key)
        if group is None:
            tensors = {
                name: np.empty((self._size, *shape), NUMPY_TYPES[datatypes[name]]) for name, shape in shapes.items()
            }
            group = self._groups[key] = _Group(tensors)
        self._open = group
        return {name: tensor[len(group.rows)] for name, tensor in group.tensors.items()}

    def keep(self, row: Prepared) -> None:
        """The row that was made room for last is complete."""
        if self._open is None:
            raise RuntimeError("no room was made for the row")
        self._open.rows.append(row)
        self._open = None

    def batches(self) -> list[PreparedBatch]:
        return [
            PreparedBatch({name: tensor[: len(group.rows)] for name, tensor in group.tensors.items()}, group.rows)
            for group in self._groups.values()
            if group.rows
        ]
