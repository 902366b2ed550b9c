"""multipart/form-data part by part, while it arrives: one part is in memory at a time, up to the limit."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.errors import Malformed, UnsupportedMedia

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MAX_HEADER_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """`content` is None when the part was longer than the limit; a field has no `filename`."""

    name: str
    filename: str | None
    content: bytes | None


async def read_parts(chunks: AsyncIterable[bytes], content_type: str, max_bytes: int) -> AsyncIterator[Part]:
    """Raises UnsupportedMedia or Malformed; parts given before are whole."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMedia("this takes multipart/form-data")
    boundary = options.get(b"boundary")
    if not boundary:
        raise Malformed("the content type names no boundary", code="malformed_multipart")
    collector = _Collector(max_bytes)
    try:
        parser = MultipartParser(boundary, collector.callbacks(), max_header_size=_MAX_HEADER_BYTES)
        async for chunk in chunks:
            parser.write(chunk)
            for part in collector.take():
                yield part
        parser.finalize()
    except FormParserError as error:
        raise Malformed("the body is not valid multipart/form-data", code="malformed_multipart") from error
    if not collector.ended:
        raise Malformed("the body ends before its last boundary", code="malformed_multipart")


class _Collector:
    def __init__(self, max_bytes: int) -> None:
        self.ended = False
        self._max_bytes = max_bytes
        self._finished: list[Part] = []
        self._disposition = b""
        self._field, self._value = b"", b""
        self._content: bytearray | None = bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def take(self) -> list[Part]:
        finished, self._finished = self._finished, []
        return finished

    def _begin(self) -> None:
        self._disposition, self._content = b"", bytearray()

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._content is None:
            return
        if len(self._content) + end - start > self._max_bytes:
            self._content = None
        else:
            self._content += data[start:end]

    def _end(self) -> None:
        _, options = parse_options_header(self._disposition)
        filename = options.get(b"filename")
        self._finished.append(
            Part(
                name=options.get(b"name", b"").decode(errors="replace"),
                filename=None if filename is None else filename.decode(errors="replace"),
                content=None if self._content is None else bytes(self._content),
            )
        )

    def _on_end(self) -> None:
        self.ended = True
