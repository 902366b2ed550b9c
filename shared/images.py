"""What an image's header says. It is read before anything is decoded: a 100 kB file may unfold to gigabytes."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

MAX_BYTES = 50 * 1024 * 1024
MAX_PIXELS = 60_000_000
MAX_SIDE = 30_000
# Once for the process: warnings cannot be silenced for one thread alone. Pillow's own limit only warns at first.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = None

_FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
}
_MIME_TYPES = {**_FORMATS, "MPO": "image/jpeg"}  # a JPEG with more pictures behind the first, as phones write it
_ORIENTATION = 0x0112
_ORIENTED = "TIFF"  # of these, Pillow's size and OpenCV's pixels are oriented already
_TURNED_BY_A_QUARTER = {5, 6, 7, 8}


class UnusableImage(ValueError):
    """`code` is stable, the message is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Sizes are those of the EXIF-oriented image, in pixels.

    `orientation` is EXIF's, 1 to 8: what is to be done to the pixels as they are stored.
    """

    mime_type: str
    width: int
    height: int
    orientation: int = 1


def read_header(content: bytes) -> ImageHeader:
    """Type and size without decoding. Raises UnusableImage."""
    if len(content) > MAX_BYTES:
        raise UnusableImage("content_too_large", f"{len(content)} bytes; at most {MAX_BYTES} are read")
    try:
        with Image.open(io.BytesIO(content), formats=list(_FORMATS)) as image:
            mime_type, (width, height) = _MIME_TYPES[image.format or ""], image.size
            orientation = 1 if image.format == _ORIENTED else _orientation(image.info.get("exif"))
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
    if orientation in _TURNED_BY_A_QUARTER:
        width, height = height, width
    return ImageHeader(mime_type, width, height, orientation)


def _orientation(exif: bytes | None) -> int:
    """Only what EXIF says: not `Image.getexif`, which asks XMP too, and decodes a PNG to look behind its pixels."""
    if not exif:
        return 1
    try:
        found = Image.Exif()
        found.load(exif)
        value = found.get(_ORIENTATION)
    except Exception:  # Pillow's parsers raise many kinds; broken EXIF data are as good as none
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # noqa: PLR2004
