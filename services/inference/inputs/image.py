"""Decoding of images: header first, EXIF orientation applied, no larger than needed."""

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.failures import RowFailed
from shared.images import ImageHeader, UnusableImage, read_header

Pixels = NDArray[np.uint8]

_END_OF_IMAGE = 0xD9
# In the data of a scan FF is followed by 00, and restarts are part of it.
_MARKER = re.compile(rb"\xff+([^\x00\x01\xff\xd0-\xd7])", re.DOTALL)
_TRANSPOSED = {5, 6, 7, 8}
# Direction of rows and columns, after transposing.
_STEPS = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


def decode_image(content: bytes, wanted_side: int) -> tuple[Pixels, ImageHeader]:
    """UINT8 RGB, height x width x 3, with both sides at least `wanted_side` where the original has them.

    The pixels may be a whole fraction of the header's size. Raises RowFailed.
    """
    header = header_of(content)
    try:
        flag = _flag(header, wanted_side) | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error as error:
        raise RowFailed("decode", "undecodable_image", "the image's data is broken") from error
    if pixels is None:
        raise RowFailed("decode", "undecodable_image", "the image's data is broken")
    return _oriented(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), header.orientation), header


def header_of(content: bytes) -> ImageHeader:
    """Raises RowFailed, also for a picture that is cut."""
    try:
        header = read_header(content)
    except UnusableImage as error:
        raise RowFailed("decode", error.code, str(error)) from error
    if header.mime_type == "image/jpeg" and not _is_whole_jpeg(content):
        # OpenCV would fill the missing part with grey and say nothing.
        raise RowFailed("decode", "undecodable_image", "the JPEG ends in the middle of its data")
    return header


def _is_whole_jpeg(content: bytes) -> bool:
    """Whether the picture's own end comes; what lies behind it (a film, on many phones) is not looked at."""
    place = 2
    while marker := _MARKER.search(content, place):
        place = marker.end()
        if marker[1][0] == _END_OF_IMAGE:
            return True
        # Every other marker is followed by its length; behind that of a scan comes its data.
        place += int.from_bytes(content[place : place + 2])
    return False


def _oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Turned by us and not by OpenCV, so that the header and the pixels always agree on what is up."""
    if orientation in _TRANSPOSED:
        pixels = pixels.transpose(1, 0, 2)
    step_y, step_x = _STEPS[orientation]
    return np.ascontiguousarray(pixels[::step_y, ::step_x])


def _flag(header: ImageHeader, wanted_side: int) -> int:
    shorter = min(header.width, header.height)
    if header.mime_type == "image/jpeg":  # only there does a reduced decode cost less
        for factor, flag in _REDUCED:
            if shorter >= factor * wanted_side:
                return flag
    return cv2.IMREAD_COLOR
