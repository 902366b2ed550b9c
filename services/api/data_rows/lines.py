"""A byte stream as numbered lines. A line over the limit is dropped while it is read, and reported as None."""

from collections.abc import AsyncIterable, AsyncIterator

MAX_LINE_BYTES = 6 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


async def split_lines(
    chunks: AsyncIterable[bytes], max_bytes: int = MAX_LINE_BYTES
) -> AsyncIterator[tuple[int, bytes | None]]:
    """(number from 1, content without its end). Blank lines count but are not given."""
    number, pending, too_long = 1, bytearray(), False
    async for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            too_long = too_long or len(pending) + end - start > max_bytes
            line = None if too_long else bytes(pending) + chunk[start:end]
            if (cleaned := _cleaned(line, number)) != b"":
                yield number, cleaned
            number, start, too_long = number + 1, end + 1, False
            pending.clear()
        too_long = too_long or len(pending) + len(chunk) - start > max_bytes
        if too_long:
            pending.clear()
        else:
            pending += chunk[start:]
    if (cleaned := _cleaned(None if too_long else bytes(pending), number)) != b"":
        yield number, cleaned


def _cleaned(line: bytes | None, number: int) -> bytes | None:
    if line is None:
        return None
    return (line.removeprefix(_BOM) if number == 1 else line).strip(b" \t\r")
