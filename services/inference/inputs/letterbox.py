"""Scale to fit, keep the aspect, centre on a plain ground."""

import cv2

from services.inference.inputs.content import Facts
from services.inference.inputs.image import decode_image
from services.inference.inputs.placement import Placement
from services.inference.triton import Array
from shared.annotations import Canvas
from shared.model_card import Letterbox


def prepare(how: Letterbox, body: bytes, slot: Array) -> tuple[Placement, Facts]:
    """Fill `slot`, UINT8 height x width x 3, and say how to come back. Raises RowFailed."""
    pixels, header = decode_image(body, max(how.width, how.height))
    ratio = min(how.width / header.width, how.height / header.height)
    width, height = max(1, round(header.width * ratio)), max(1, round(header.height * ratio))
    left, top = (how.width - width) // 2, (how.height - height) // 2
    slot[...] = how.fill
    shrinks = width < pixels.shape[1]
    slot[top : top + height, left : left + width] = cv2.resize(
        pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    placement = Placement(
        Canvas(width=header.width, height=header.height), width / header.width, height / header.height, left, top
    )
    return placement, Facts(header.mime_type, len(body), header.width, header.height)
