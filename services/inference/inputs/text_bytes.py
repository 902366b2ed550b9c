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
    seen = _fitting(text, body, how.max_bytes)
    read = seen.encode()
    count = len(read)
    length = max(_SHORTEST, 1 << (count - 1).bit_length())
    slots = memory.row({how.text: "UINT8", how.length: "INT32"}, {how.text: (length,), how.length: (1,)})
    slots[how.text][...] = np.frombuffer(read.ljust(length, b"\0"), np.uint8)
    slots[how.length][...] = count
    read_to = None if len(seen) == len(text) else len(seen)
    return Placement(Canvas(length=len(text)), read_to=read_to), text_facts(body, text)


def _fitting(text: str, body: bytes, max_bytes: int) -> str:
    """Without the word that does not fit, unless the text is all one word."""
    if len(body) <= max_bytes:
        return text
    begun = body[: max_bytes + 1].decode(errors="ignore")
    words = begun.rsplit(maxsplit=1)
    return words[0] if len(words) > 1 else body[:max_bytes].decode(errors="ignore")
