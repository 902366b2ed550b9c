"""Text as UTF-8 bytes beside their number, for models that tokenize by themselves."""

import numpy as np

from services.inference.inputs.batch import BatchMemory
from services.inference.inputs.content import Facts
from services.inference.inputs.placement import Placement
from services.inference.inputs.plain_text import read_text, text_facts
from services.inference.served_model import ServedModel
from shared.annotations import Canvas
from shared.preprocessing import TextBytes

_SHORTEST = 64


def prepare(model: ServedModel, body: bytes, memory: BatchMemory) -> tuple[Placement, Facts]:
    """Fill both inputs. Raises RowFailed."""
    how = model.card.preprocessing
    if not isinstance(how, TextBytes):
        raise TypeError("the model takes no bytes of text")
    text = read_text(body)
    count = len(body)
    length = max(_SHORTEST, 1 << (count - 1).bit_length())
    slots = memory.row({how.text: "UINT8", how.length: "INT32"}, {how.text: (length,), how.length: (1,)})
    slots[how.text][:count], slots[how.text][count:] = np.frombuffer(body, np.uint8), 0
    slots[how.length][...] = count
    return Placement(Canvas(length=len(text))), text_facts(body, text)
