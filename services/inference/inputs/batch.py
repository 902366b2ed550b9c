"""The memory a batch is prepared in, and the batches that come of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import uuid4

import numpy as np

from services.inference.inputs.content import Content, Facts
from services.inference.inputs.placement import Placement
from services.inference.shared_memory import SharedMemory
from services.inference.tensors import NUMPY_TYPES, Array
from shared.tensors import Datatype

_ALIGNMENT = 64
_Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(slots=True)
class Prepared:
    """A row that is in the batch's memory."""

    content: Content
    placement: Placement
    facts: Facts


@dataclass(frozen=True, slots=True)
class Taken:
    """When a batch was ready, by `time.perf_counter`, and the seconds it took to fetch and to prepare its contents."""

    ready_at: float
    fetch: float
    prepare: float


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Every tensor, by the name of its input, has one entry on its first axis for each of `rows`, in their order.

    Of rows that waited for others of their shape, `taken` is that of the last ones, if it is known. A part is sent by
    itself, and so is a batch with an id of its own.
    """

    tensors: Mapping[str, Array]
    rows: Sequence[Prepared]
    taken: Taken | None = None
    id: str = field(default_factory=lambda: uuid4().hex)

    def part(self, rows: slice) -> "PreparedBatch":
        return PreparedBatch({name: tensor[rows] for name, tensor in self.tensors.items()}, self.rows[rows], self.taken)


@dataclass(slots=True)
class _Group:
    tensors: dict[str, Array]
    rows: list[Prepared] = field(default_factory=list)

    def batch(self) -> PreparedBatch:
        return PreparedBatch({name: tensor[: len(self.rows)] for name, tensor in self.tensors.items()}, self.rows)


Shapes = Mapping[str, tuple[int, ...]]


class BatchMemory:
    """Rows are prepared where they are sent from: those of the same shapes lie together, one array an input.

    The first row of a shape makes room for all that may follow; the system gives memory only to what is written.
    `shared` is where a server on this machine reads them by itself.
    """

    def __init__(self, size: int, shared: SharedMemory | None = None) -> None:
        self._size = size
        self._shared = shared
        self._groups: dict[_Shapes, _Group] = {}
        self._full: list[PreparedBatch] = []
        self._open: _Shapes | None = None

    def row(self, datatypes: Mapping[str, Datatype], shapes: Shapes) -> dict[str, Array]:
        """Where the next row's inputs go, by name, not cleared; `keep` makes them part of the batch."""
        key = tuple(shapes.items())
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self.room(datatypes, shapes))
        self._open = key
        return {name: tensor[len(group.rows)] for name, tensor in group.tensors.items()}

    def keep(self, row: Prepared) -> None:
        """The row that was made room for last is complete."""
        if self._open is None:
            raise RuntimeError("no room was made for the row")
        group = self._groups[self._open]
        group.rows.append(row)
        if len(group.rows) == self._size:
            self._full.append(self._groups.pop(self._open).batch())
        self._open = None

    @property
    def waiting(self) -> int:
        """Rows that make no full batch yet."""
        return sum(len(group.rows) for group in self._groups.values())

    def full(self) -> list[PreparedBatch]:
        """Those that take no more rows. They leave."""
        full, self._full = self._full, []
        return full

    def fullest(self) -> list[PreparedBatch]:
        """Of the others the one with most rows. It leaves."""
        key = max(self._groups, key=lambda one: len(self._groups[one].rows))
        return [self._groups.pop(key).batch()]

    def batches(self) -> list[PreparedBatch]:
        """All. They leave."""
        rest = [group.batch() for group in self._groups.values() if group.rows]
        self._groups.clear()
        return [*self.full(), *rest]

    def room(self, datatypes: Mapping[str, Datatype], shapes: Shapes) -> dict[str, Array]:
        """One region for all inputs of a group; texts have no length that is known beforehand, and lie elsewhere."""
        wanted = {
            name: ((self._size, *shape), np.dtype(NUMPY_TYPES[datatypes[name]])) for name, shape in shapes.items()
        }
        sizes = {name: math.prod(shape) * kind.itemsize for name, (shape, kind) in wanted.items() if kind != np.object_}
        lent = self._shared.lend(sum(map(_aligned, sizes.values()))) if self._shared else None
        room: dict[str, Array] = {}
        start = 0
        for name, (shape, kind) in wanted.items():
            if lent is None or name not in sizes:
                room[name] = np.empty(shape, kind)
            else:
                room[name] = lent[start : start + sizes[name]].view(kind).reshape(shape)
                start += _aligned(sizes[name])
        return room


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
