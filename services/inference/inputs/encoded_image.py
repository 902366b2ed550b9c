"""Pictures as files, for servers that decode by themselves."""

import cv2

from services.inference.failures import RowFailed
from services.inference.inputs.content import Facts
from services.inference.inputs.image import decode_image, header_of
from services.inference.inputs.placement import Placement
from services.inference.tensors import Array
from shared.annotations import Canvas
from shared.images import MAX_SIDE
from shared.preprocessing import EncodedImage

_UPRIGHT = 1
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


def prepare(how: EncodedImage, body: bytes, slot: Array) -> tuple[Placement, Facts]:
    """Put the file into `slot`, one BYTES element. Raises RowFailed."""
    del how
    header = header_of(body)
    # Not every decoder turns by EXIF, and what it says would lie elsewhere.
    slot[...] = body if header.orientation == _UPRIGHT else _turned(body)
    placement = Placement(Canvas(width=header.width, height=header.height))
    return placement, Facts(header.mime_type, len(body), header.width, header.height)


def _turned(body: bytes) -> bytes:
    pixels, _ = decode_image(body, MAX_SIDE)
    written, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _QUALITY)
    if not written:
        raise RowFailed("decode", "undecodable_image", "the picture cannot be written anew")
    return bytes(encoded)
