"""Scale to fit, keep the aspect, the rest is plain ground."""

import cv2

from services.inference.inputs import pixels
from services.inference.inputs.content import Facts
from services.inference.inputs.image import decode_image
from services.inference.inputs.placement import Placement
from services.inference.tensors import Array
from shared.annotations import Canvas
from shared.preprocessing import Letterbox


def prepare(how: Letterbox, body: bytes, slot: Array) -> tuple[Placement, Facts]:
    """Fill `slot` and say how to come back. Raises RowFailed."""
    image, header = decode_image(body, max(how.width, how.height))
    ratio = min(how.width / header.width, how.height / header.height)
    width, height = max(1, round(header.width * ratio)), max(1, round(header.height * ratio))
    centred = how.align == "center"
    left, top = ((how.width - width) // 2, (how.height - height) // 2) if centred else (0, 0)
    if (width, height) != how.frame:
        pixels.fill(how.pixels, slot, how.fill)
    shrinks = width < image.shape[1]
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    pixels.put(how.pixels, slot, scaled, left, top)
    placement = Placement(
        Canvas(width=header.width, height=header.height), width / header.width, height / header.height, left, top
    )
    return placement, Facts(header.mime_type, len(body), header.width, header.height)
