from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from services.api.data_rows.lines import split_lines


async def split(content: bytes, sizes: list[int], max_bytes: int = 20) -> list[tuple[int, bytes | None]]:
    """`content` in chunks of the given sizes, over and over."""

    async def chunks() -> AsyncIterator[bytes]:
        start = 0
        while start < len(content):
            size = sizes[start % len(sizes)]
            yield content[start : start + size]
            start += size

    return [line async for line in split_lines(chunks(), max_bytes)]


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(1, 40), min_size=1))
async def test_lines_do_not_depend_on_how_they_arrive(parts: list[bytes], sizes: list[int]) -> None:
    content = b"\n".join(parts)
    assert await split(content, sizes) == await split(content, [len(content) + 1])


async def test_numbers_count_blank_and_overlong_lines() -> None:
    content = b"a\n\n" + b"x" * 21 + b"\nb\r\n   \n" + b"y" * 100
    for sizes in ([1], [3, 7], [1000]):
        assert await split(content, sizes) == [(1, b"a"), (3, None), (4, b"b"), (6, None)]


async def test_byte_order_mark_is_not_content() -> None:
    assert await split(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", [2]) == [(1, b"a"), (2, b"\xef\xbb\xbfb")]


async def test_nothing_has_no_lines() -> None:
    assert await split(b"", [1]) == []
    assert await split(b"\n\n", [1]) == []
