import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from shared.images import UnusableImage, read_header


def encoded(kind: str, orientation: int) -> bytes:
    file = io.BytesIO()
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_decoded_image(kind: str, orientation: int) -> None:
    content = encoded(kind, orientation)
    header = read_header(content)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert (header.height, header.width) == pixels.shape[:2]


def png_header(width: int, height: int) -> bytes:
    """A PNG that ends where its pixels would begin."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = struct.pack(">I", 100) + b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + data


def test_pixels_are_not_looked_at() -> None:
    assert (read_header(png_header(50, 60)).width, read_header(png_header(50, 60)).height) == (50, 60)


@pytest.mark.parametrize("size", [(40_000, 40_000), (10_000, 10_000), (30_001, 1)])
def test_promise_of_too_many_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UnusableImage) as refused:
        read_header(png_header(*size))
    assert refused.value.code == "image_too_large"


@pytest.mark.parametrize("content", [b"", b"words", b"<svg/>", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableImage):
        read_header(content)
