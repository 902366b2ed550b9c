"""Text for models that tokenize by themselves."""

from services.inference.failures import RowFailed
from services.inference.inputs.content import Facts
from services.inference.inputs.placement import Placement
from services.inference.tensors import Array
from shared.annotations import Canvas
from shared.preprocessing import PlainText

MAX_BYTES = 1_000_000


def prepare(how: PlainText, body: bytes, slot: Array) -> tuple[Placement, Facts]:
    """Put the UTF-8 bytes into `slot`, one BYTES element. Raises RowFailed."""
    del how
    text = read_text(body)
    slot[...] = body
    return Placement(Canvas(length=len(text))), text_facts(body, text)


def read_text(body: bytes) -> str:
    """Raises RowFailed."""
    if len(body) > MAX_BYTES:
        raise RowFailed("decode", "text_too_long", f"{len(body)} bytes; at most {MAX_BYTES} are read")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RowFailed("decode", "undecodable_text", "the content is not UTF-8") from error


def text_facts(body: bytes, text: str) -> Facts:
    return Facts("text/plain; charset=utf-8", len(body), length=len(text))
