"""Decoding of images: header first, EXIF orientation applied, no larger than needed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.failures import RowFailed
from shared.images import ImageHeader, UnusableImage, read_header

Pixels = NDArray[np.uint8]

_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


def decode_image(content: bytes, wanted_side: int) -> tuple[Pixels, ImageHeader]:
    """UINT8 RGB, height x width x 3, with both sides at least `wanted_side` where the original has them.

    The pixels may be a whole fraction of the header's size. Raises RowFailed.
    """
    try:
        header = read_header(content)
    except UnusableImage as error:
        raise RowFailed("decode", error.code, str(error)) from error
    if header.mime_type == "image/jpeg" and content.rfind(_END_OF_IMAGE) < content.rfind(_START_OF_SCAN):
        # OpenCV would fill the missing part with grey and say nothing.
        raise RowFailed("decode", "undecodable_image", "the JPEG ends in the middle of its data")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), _flag(header, wanted_side))
    except cv2.error as error:
        raise RowFailed("decode", "undecodable_image", "the image's data is broken") from error
    if pixels is None:
        raise RowFailed("decode", "undecodable_image", "the image's data is broken")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), header


def _flag(header: ImageHeader, wanted_side: int) -> int:
    shorter = min(header.width, header.height)
    if header.mime_type == "image/jpeg":  # only there does a reduced decode cost less
        for factor, flag in _REDUCED:
            if shorter >= factor * wanted_side:
                return flag
    return cv2.IMREAD_COLOR
