"""Preprocessors by the `kind` a model card names. To add one: write its file, name it here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast

from services.inference.failures import RowFailed, fault_of_ours
from services.inference.inputs import center_crop, encoded_image, letterbox, plain_text, stretch, text_bytes, tokenized
from services.inference.inputs.batch import BatchMemory, Prepared, PreparedBatch, Taken
from services.inference.inputs.content import Content, Facts
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.shared_memory import SharedMemory
from services.inference.tensors import Array
from shared.telemetry import logger

_SIZES_WAITING = 4
"""Full batches' worth of rows that may wait for others of their shapes."""

log = logger(__name__)

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


INPUTS_VERSION = 1
"""Rises when a preprocessor makes something else of the same content."""

PREPROCESSORS: Mapping[str, Prepare] = {
    "letterbox": _into_one_slot(letterbox.prepare),
    "stretch": _into_one_slot(stretch.prepare),
    "center_crop": _into_one_slot(center_crop.prepare),
    "encoded_image": _into_one_slot(encoded_image.prepare),
    "plain_text": _into_one_slot(plain_text.prepare),
    "text_bytes": text_bytes.prepare,
    "tokenized": tokenized.prepare,
}


class BatchPreparation:
    """Decodes contents straight into a batch's own memory; rows of one shape make a batch, a bad one costs no other.

    Of more than `size` rows of a shape further batches are made.
    """

    def __init__(self, model: ServedModel, size: int, shared: SharedMemory | None = None) -> None:
        self._model = model
        self._prepare = PREPROCESSORS[model.card.preprocessing.kind]
        self._memory = BatchMemory(size, shared)
        self.most_waiting = _SIZES_WAITING * size
        self.failed: list[tuple[Content, RowFailed]] = []

    def add(self, contents: Sequence[Content]) -> None:
        """For one thread at a time."""
        for content in contents:
            try:
                placement, facts = self._prepare(self._model, content.body, self._memory)
            except RowFailed as error:
                self.failed.append((content.without_body(), error))
            except Exception as error:  # a fault of ours: it costs the row it belongs to
                log.error("prepare_failed", data_row=str(content.data_row_id), exc_info=error)
                self.failed.append((content.without_body(), fault_of_ours("decode", error)))
            else:
                self._memory.keep(Prepared(content.without_body(), placement, facts))

    def ready(self) -> list[PreparedBatch]:
        """Full batches; others only when too many rows wait for more of their shapes."""
        found = self._memory.full()
        while self._memory.waiting > self.most_waiting:
            found += self._memory.fullest()
        return found

    def batches(self) -> list[PreparedBatch]:
        """All that are left."""
        return self._memory.batches()


def prepare_batch(
    model: ServedModel, contents: Sequence[Content], shared: SharedMemory | None = None
) -> BatchPreparation:
    """All of them at once."""
    preparation = BatchPreparation(model, len(contents), shared)
    preparation.add(contents)
    return preparation


__all__ = ["INPUTS_VERSION", "PREPROCESSORS", "BatchPreparation", "Prepared", "PreparedBatch", "Taken", "prepare_batch"]
