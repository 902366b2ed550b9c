"""Text for models that tokenize by themselves."""

from services.inference.failures import RowFailed
from services.inference.inputs.content import Facts
from services.inference.inputs.placement import Placement
from services.inference.triton import Array
from shared.annotations import Canvas
from shared.model_card import PlainText

MAX_BYTES = 1_000_000


def prepare(how: PlainText, body: bytes, slot: Array) -> tuple[Placement, Facts]:
    """Put the UTF-8 bytes into `slot`, one BYTES element. Raises RowFailed."""
    del how
    if len(body) > MAX_BYTES:
        raise RowFailed("decode", "text_too_long", f"{len(body)} bytes; at most {MAX_BYTES} are read")
    try:
        length = len(body.decode())
    except UnicodeDecodeError as error:
        raise RowFailed("decode", "undecodable_text", "the content is not UTF-8") from error
    slot[...] = body
    return Placement(Canvas(length=length)), Facts("text/plain; charset=utf-8", len(body), length=length)
