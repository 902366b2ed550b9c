"""The whole image, scaled to the model's size whatever its aspect."""

import cv2

from services.inference.inputs import pixels
from services.inference.inputs.content import Facts
from services.inference.inputs.image import decode_image
from services.inference.inputs.placement import Placement
from services.inference.tensors import Array
from shared.annotations import Canvas
from shared.preprocessing import Stretch


def prepare(how: Stretch, body: bytes, slot: Array) -> tuple[Placement, Facts]:
    """Fill `slot` and say how to come back. Raises RowFailed."""
    image, header = decode_image(body, max(how.width, how.height))
    shrinks = how.width * how.height < image.shape[0] * image.shape[1]
    scaled = cv2.resize(image, how.frame, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    pixels.put(how.pixels, slot, scaled)
    canvas = Canvas(width=header.width, height=header.height)
    placement = Placement(canvas, how.width / header.width, how.height / header.height)
    return placement, Facts(header.mime_type, len(body), header.width, header.height)
