"""Preprocessors by the `kind` a model card names. To add one: write its file, name it here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

from services.inference.failures import RowFailed
from services.inference.inputs import center_crop, letterbox, plain_text, stretch, tokenized
from services.inference.inputs.batch import BatchMemory, Prepared, PreparedBatch
from services.inference.inputs.content import Content, Facts
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.triton import Array

Seen: TypeAlias = tuple[Placement, Facts]
Prepare: TypeAlias = Callable[[ServedModel, bytes, BatchMemory], Seen]
"""Puts one row's inputs into the memory and says how to come back. Raises RowFailed."""


class _FixedShape(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


def _into_one_slot(prepare: Callable[[Any, bytes, Array], Seen]) -> Prepare:
    """For the many that fill one input, of a shape that is known beforehand."""

    def into_memory(model: ServedModel, body: bytes, memory: BatchMemory) -> Seen:
        tensor, how = model.card.inputs[0], cast(_FixedShape, model.card.preprocessing)
        slots = memory.row({tensor.name: tensor.datatype}, {tensor.name: how.shape})
        return prepare(how, body, slots[tensor.name])

    return into_memory


PREPROCESSORS: Mapping[str, Prepare] = {
    "letterbox": _into_one_slot(letterbox.prepare),
    "stretch": _into_one_slot(stretch.prepare),
    "center_crop": _into_one_slot(center_crop.prepare),
    "plain_text": _into_one_slot(plain_text.prepare),
    "tokenized": tokenized.prepare,
}


@dataclass(frozen=True, slots=True)
class Preparation:
    """What became of some contents: rows of one shape make one batch."""

    batches: Sequence[PreparedBatch]
    failed: Sequence[tuple[Content, RowFailed]]


def prepare_batch(model: ServedModel, contents: Sequence[Content]) -> Preparation:
    """Decode every content straight into the batch's own memory. Runs in a thread; a bad row costs no neighbour."""
    prepare = PREPROCESSORS[model.card.preprocessing.kind]
    memory = BatchMemory(len(contents))
    failed: list[tuple[Content, RowFailed]] = []
    for content in contents:
        try:
            placement, facts = prepare(model, content.body, memory)
        except RowFailed as error:
            failed.append((content, error))
        else:
            memory.keep(Prepared(content, placement, facts))
    return Preparation(memory.batches(), failed)


__all__ = ["PREPROCESSORS", "Preparation", "Prepared", "PreparedBatch", "prepare_batch"]
