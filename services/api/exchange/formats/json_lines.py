"""Formats of lines: one JSON object a line, cut out of an upload with a bound on each."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from services.api.exchange.formats.base import Refusal, Refused

MAX_LINE_BYTES = 32 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, content without its end); None for one over the limit. Blank lines count but are not given."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        too_long = len(line) > MAX_LINE_BYTES and not line.endswith(b"\n")
        while too_long and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)
            if not line:
                break
        if too_long:
            yield number, None
            continue
        line = (line.removeprefix(_BOM) if number == 1 else line).strip(b" \t\r\n")
        if line:
            yield number, line


def json_lines(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any]] | Refusal]:
    """(number, object), or why the line is none."""
    for number, line in numbered_lines(file):
        if line is None:
            yield Refusal(number, Refused("line_too_long", f"a line has at most {MAX_LINE_BYTES} bytes"))
            continue
        try:
            item = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Refusal(number, Refused("malformed_json", f"the line is not JSON: {error}"[:300]))
            continue
        if isinstance(item, dict):
            yield number, item
        else:
            yield Refusal(number, Refused("malformed_line", "a line is a JSON object"))
