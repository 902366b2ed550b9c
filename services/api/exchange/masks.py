"""Masks as pictures and back."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.api.exchange.formats.base import Refused
from shared.annotations import Mask
from shared.bitmaps import bitmap_of, mask_of
from shared.images import UnusableImage, read_header

Marked = NDArray[np.bool_]


def png_of(mask: Mask) -> bytes:
    """One channel of 0 and 1."""
    file = io.BytesIO()
    Image.fromarray(bitmap_of(mask)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def mask_of_png(content: bytes) -> Mask:
    """Every pixel that is not black (or fully transparent) belongs to it. Raises Refused."""
    try:
        read_header(content)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            pixels = np.asarray(image)
    except UnusableImage as error:
        raise Refused(error.code, str(error)) from error
    except Exception as error:  # Pillow's parsers raise many kinds on broken pictures
        raise Refused("undecodable_image", "the PNG does not decode") from error
    return mask_of(_marked(pixels).astype(np.uint8))


def _marked(pixels: NDArray[Any]) -> Marked:
    """Rows and columns, or with one to four channels as the last axis; of two and four the last is transparency."""
    if pixels.ndim == 2:  # noqa: PLR2004
        single: Marked = pixels != 0
        return single
    channels = pixels.shape[2]
    with_alpha = channels in {2, 4}
    marked: Marked = np.any(pixels[..., : channels - with_alpha], axis=2)
    if with_alpha:
        marked &= pixels[..., -1] > 0
    return marked
