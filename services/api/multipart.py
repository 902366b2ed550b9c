"""multipart/form-data while it arrives: part by part with one in memory, up to a limit, or piece by piece."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.errors import Malformed, UnsupportedMedia

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MAX_HEADER_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class PartHead:
    """A field has no `filename`."""

    name: str
    filename: str | None


class PartEnd(Enum):
    END = "end"


Piece: TypeAlias = PartHead | bytes | PartEnd


@dataclass(frozen=True, slots=True)
class Part:
    """`content` is None when the part was longer than the limit; a field has no `filename`."""

    name: str
    filename: str | None
    content: bytes | None


async def read_parts(chunks: AsyncIterable[bytes], content_type: str, max_bytes: int) -> AsyncIterator[Part]:
    """Raises UnsupportedMedia or Malformed; parts given before are whole."""
    pieces = read_pieces(chunks, content_type)
    async for head in pieces:
        if isinstance(head, PartHead):
            yield Part(head.name, head.filename, await content_of(pieces, max_bytes))


async def read_pieces(chunks: AsyncIterable[bytes], content_type: str) -> AsyncIterator[Piece]:
    """Each part's head, then its bytes as they come, then its end. Raises UnsupportedMedia or Malformed."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMedia("this takes multipart/form-data")
    boundary = options.get(b"boundary")
    if not boundary:
        raise Malformed("the content type names no boundary", code="malformed_multipart")
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks(), max_header_size=_MAX_HEADER_BYTES)
        async for chunk in chunks:
            parser.write(chunk)
            for piece in collector.take():
                yield piece
        parser.finalize()
    except FormParserError as error:
        raise Malformed("the body is not valid multipart/form-data", code="malformed_multipart") from error
    if not collector.ended:
        raise Malformed("the body ends before its last boundary", code="malformed_multipart")


async def stream_of(pieces: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    """The bytes of the part whose head was read last."""
    async for piece in pieces:
        if piece is PartEnd.END:
            return
        if isinstance(piece, bytes):
            yield piece


async def content_of(pieces: AsyncIterator[Piece], max_bytes: int) -> bytes | None:
    """All of them; None when there are more than that."""
    content, is_too_long = bytearray(), False
    async for piece in stream_of(pieces):
        is_too_long = is_too_long or len(content) + len(piece) > max_bytes
        if not is_too_long:
            content += piece
    return None if is_too_long else bytes(content)


class _Collector:
    def __init__(self) -> None:
        self.ended = False
        self._pieces: list[Piece] = []
        self._disposition = b""
        self._field, self._value = b"", b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def take(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces

    def _begin(self) -> None:
        self._disposition = b""

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        filename = options.get(b"filename")
        self._pieces.append(
            PartHead(
                name=options.get(b"name", b"").decode(errors="replace"),
                filename=None if filename is None else filename.decode(errors="replace"),
            )
        )

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(bytes(data[start:end]))

    def _end(self) -> None:
        self._pieces.append(PartEnd.END)

    def _on_end(self) -> None:
        self.ended = True
