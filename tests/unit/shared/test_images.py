"""What a header says before anything is decoded; `tests/unit/test_images.py` has the sizes."""

import contextlib
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from shared.images import MAX_BYTES, UnusableImage, read_header
from tests.support.servers import PICTURES

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'


def encoded(kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 20)).save(file, kind, **how)
    return file.getvalue()


def exif(order: str, field_type: int, orientation: int) -> bytes:
    """EXIF data with an orientation alone, in either byte order, as SHORT (3) or LONG (4)."""
    endian = "<" if order == "II" else ">"
    value = struct.pack(endian + ("HH" if field_type == 3 else "I"), *((orientation, 0)[: 5 - field_type]))
    entry = struct.pack(endian + "HHI", 0x0112, field_type, 1) + value
    return b"Exif\0\0" + order.encode() + struct.pack(endian + "HIH", 42, 8, 1) + entry + bytes(4)


@pytest.mark.parametrize(
    ("kind", "mime_type"),
    [("JPEG", "jpeg"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "bmp"), ("GIF", "gif"), ("TIFF", "tiff")],
)
def test_type_and_size(kind: str, mime_type: str) -> None:
    header = read_header(encoded(kind))
    assert (header.mime_type, header.width, header.height) == (f"image/{mime_type}", 40, 20)


def test_a_jpeg_with_more_pictures_behind_the_first_is_a_jpeg() -> None:
    several = encoded("MPO", save_all=True, append_images=[Image.new("RGB", (10, 10))])
    assert read_header(several) == read_header(encoded("JPEG"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("field_type", [3, 4])
@pytest.mark.parametrize(("orientation", "understood"), [(1, 1), (3, 3), (6, 6), (8, 8), (0, 1), (9, 1), (65535, 1)])
def test_orientation_however_it_is_written(
    kind: str, order: str, field_type: int, orientation: int, understood: int
) -> None:
    header = read_header(encoded(kind, exif=exif(order, field_type, orientation)))
    assert header.orientation == understood
    assert (header.width, header.height) == ((20, 40) if understood in {6, 8} else (40, 20))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_only_exif_turns_an_image(kind: str) -> None:
    assert read_header(encoded(kind, xmp=XMP)).width == 40


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "data", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0MM\0*" * 9]
)
def test_broken_exif_is_as_good_as_none(data: bytes) -> None:
    assert read_header(encoded("JPEG", exif=data)).width == 40


def bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that promises this many pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@pytest.mark.parametrize("size", [(30_000, 30_000), (2**31 - 1, 2**31 - 1), (7800, 7800), (1, 30_001)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    with pytest.raises(UnusableImage) as refused:
        read_header(bomb(*size))
    assert refused.value.code == "image_too_large"


def test_more_bytes_than_are_read_are_refused() -> None:
    with pytest.raises(UnusableImage) as refused:
        read_header(bytes(MAX_BYTES + 1))
    assert refused.value.code == "content_too_large"


@pytest.mark.parametrize("content", [b"", b"no image", b"%PDF-1.7", b"<svg/>", encoded("ICO"), encoded("PPM")])
def test_other_files_are_no_images(content: bytes) -> None:
    with pytest.raises(UnusableImage) as refused:
        read_header(content)
    assert refused.value.code == "not_an_image"


STARTS = [encoded(kind)[:64] for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")]


@given(st.sampled_from([b"", *STARTS]), st.integers(0, 64), st.binary(max_size=200))
@example(STARTS[0], 3, b"")
def test_garbage_is_never_another_error(start: bytes, kept: int, rest: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(UnusableImage):
            header = read_header(start[:kept] + rest)
            assert header.width > 0
            assert header.height > 0


def test_threads_leave_the_warnings_alone() -> None:
    content = (PICTURES / "chelsea.png").read_bytes()
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as threads:
        sizes = set(threads.map(lambda _: read_header(content), range(400)))
    assert len(sizes) == 1
    assert list(warnings.filters) == before
