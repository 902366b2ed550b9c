"""Preprocessors by the `kind` a model card names. To add one: write its file, name it here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.inference.failures import RowFailed
from services.inference.inputs import center_crop, letterbox, plain_text
from services.inference.inputs.content import Content, Facts
from services.inference.inputs.placement import Placement
from services.inference.triton import Array
from shared.model_card import ModelCard

PREPROCESSORS: Mapping[str, Callable[[Any, bytes, Array], tuple[Placement, Facts]]] = {
    "letterbox": letterbox.prepare,
    "center_crop": center_crop.prepare,
    "plain_text": plain_text.prepare,
}

_DTYPES = {"UINT8": np.uint8, "BYTES": np.object_}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row that is in the batch's memory."""

    content: Content
    placement: Placement
    facts: Facts


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """`tensor` has one entry on its first axis for each of `rows`, in their order."""

    tensor: Array
    rows: Sequence[Prepared]
    failed: Sequence[tuple[Content, RowFailed]]


def prepare_batch(card: ModelCard, contents: Sequence[Content]) -> PreparedBatch:
    """Decode every content straight into the batch's own memory. Runs in a thread; a bad row costs no neighbour."""
    tensor_of = card.inputs[0]
    prepare = PREPROCESSORS[card.preprocessing.kind]
    tensor: Array = np.empty((len(contents), *(abs(side) for side in tensor_of.shape)), _DTYPES[tensor_of.datatype])
    rows: list[Prepared] = []
    failed: list[tuple[Content, RowFailed]] = []
    for content in contents:
        try:
            placement, facts = prepare(card.preprocessing, content.body, tensor[len(rows)])
        except RowFailed as error:
            failed.append((content, error))
        else:
            rows.append(Prepared(content, placement, facts))
    return PreparedBatch(tensor[: len(rows)], rows, failed)
