from collections.abc import AsyncIterator

import pytest

from services.api.multipart import Part, read_parts
from shared.errors import Malformed, UnsupportedMedia

TYPE = 'multipart/form-data; boundary="x y"'
BODY = (
    b'--x y\r\nContent-Disposition: form-data; name="global_key"\r\n\r\nmine\r\n'
    b'--x y\r\ncontent-disposition: form-data; name="file"; filename="gr\xc3\xbc\xc3\x9fe.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\n\r\n--not the end--\r\n\r\n"
    b'--x y\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n' + b"z" * 100 + b"\r\n--x y--\r\n"
)


async def read(body: bytes, content_type: str = TYPE, size: int = 1000) -> list[Part]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return [part async for part in read_parts(chunks(), content_type, max_bytes=50)]


@pytest.mark.parametrize("size", [1, 2, 13, 1000])
async def test_parts_are_whole_and_bounded(size: int) -> None:
    assert await read(BODY, size=size) == [
        Part("global_key", None, b"mine"),
        Part("file", "grüße.jpg", b"\r\n--not the end--\r\n"),
        Part("file", "big", None),
    ]


@pytest.mark.parametrize("body", [b"", b"words", BODY[:40], BODY[:-10], b"--x y\r\n" + b"h" * 20_000])
async def test_broken_bodies_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        await read(body)


async def test_other_content_types_are_refused() -> None:
    with pytest.raises(UnsupportedMedia):
        await read(BODY, "application/json")
    with pytest.raises(Malformed):
        await read(BODY, "multipart/form-data")
