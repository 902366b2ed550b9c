"""What an image's header says. It is read before anything is decoded: a 100 kB file may unfold to gigabytes."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

MAX_BYTES = 50 * 1024 * 1024
MAX_PIXELS = 60_000_000
MAX_SIDE = 30_000
_FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
}
_ORIENTATION = 0x0112
_ORIENTED = "TIFF"  # Pillow gives the oriented size of these itself
_TURNED_BY_A_QUARTER = {5, 6, 7, 8}


class UnusableImage(ValueError):
    """`code` is stable, the message is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Sizes are those of the EXIF-oriented image, in pixels."""

    mime_type: str
    width: int
    height: int


def read_header(content: bytes) -> ImageHeader:
    """Type and size without decoding. Raises UnusableImage."""
    if len(content) > MAX_BYTES:
        raise UnusableImage("content_too_large", f"{len(content)} bytes; at most {MAX_BYTES} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=list(_FORMATS)) as image:
                mime_type, (width, height) = _FORMATS[image.format or ""], image.size
                # The base class's: the one of PNG decodes all pixels to look for EXIF data behind them.
                turned = image.format != _ORIENTED and (
                    Image.Image.getexif(image).get(_ORIENTATION) in _TURNED_BY_A_QUARTER
                )
    except Image.DecompressionBombError as error:
        raise UnusableImage("image_too_large", f"more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise UnusableImage(
            "not_an_image",
            "the content is not a JPEG, PNG, WebP, BMP, GIF or TIFF image",
        ) from error
    except Exception as error:  # Pillow's parsers raise many kinds on broken headers
        raise UnusableImage("undecodable_image", "the header of the image is broken") from error
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UnusableImage(
            "image_too_large",
            f"{width} x {height} pixels; at most {MAX_PIXELS} in all, {MAX_SIDE} a side",
        )
    return ImageHeader(mime_type, height, width) if turned else ImageHeader(mime_type, width, height)
