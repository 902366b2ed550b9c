"""The demonstration's input: photographs from packages, their mirror images and cut-outs, and one broken file."""

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

BROKEN = "broken-china.jpg"
_MARGIN = 0.08


def photographs(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file to upload, a few dozen in all."""
    for path in sorted(folder.iterdir()):
        yield path.name, path.read_bytes()
        with Image.open(path) as picture:
            plain = picture.convert("RGB")
        yield f"{path.stem}-mirrored.jpg", _jpeg(ImageOps.mirror(plain))
        yield f"{path.stem}-closer.jpg", _jpeg(_closer(plain))
        yield f"{path.stem}-small.jpg", _jpeg(plain.resize((plain.width // 2, plain.height // 2)))
    whole = (folder / "china.jpg").read_bytes()
    # Its header is sound, so it is taken in; its data ends in the middle, so it cannot be decoded.
    yield BROKEN, whole[: len(whole) // 3]


def _closer(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    left, top = int(width * _MARGIN), int(height * _MARGIN)
    return picture.crop((left, top, width - left, height - top))


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
