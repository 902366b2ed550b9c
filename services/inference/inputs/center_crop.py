"""The centred square, as classifiers are trained on."""

import cv2

from services.inference.inputs import pixels
from services.inference.inputs.content import Facts
from services.inference.inputs.image import decode_image
from services.inference.inputs.placement import Placement
from services.inference.tensors import Array
from shared.annotations import Canvas
from shared.preprocessing import CenterCrop


def prepare(how: CenterCrop, body: bytes, slot: Array) -> tuple[Placement, Facts]:
    """Fill `slot` and say how to come back. Raises RowFailed."""
    image, header = decode_image(body, round(how.size / how.fraction))
    side = max(1, int(min(image.shape[:2]) * how.fraction))
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    scaled = cv2.resize(square, how.frame, interpolation=cv2.INTER_AREA if side > how.size else cv2.INTER_CUBIC)
    pixels.put(how.pixels, slot, scaled)
    reduced = image.shape[1] / header.width
    scale = how.size / side
    placement = Placement(
        Canvas(width=header.width, height=header.height), scale * reduced, scale * reduced, -left * scale, -top * scale
    )
    return placement, Facts(header.mime_type, len(body), header.width, header.height)
