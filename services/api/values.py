"""Values that JSON parsers let through and PostgreSQL does not hold: NUL, half a surrogate pair, NaN, infinity."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from services.api.pointers import escape
from shared.errors import FieldError, Malformed, Unprocessable

_MAX_LISTED = 20
# Bodies without these need no second look.
_SUSPICIOUS = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]|NaN|Infinity|[eE]\+?[0-9]{3}|[0-9]{300}")
_SURROGATES = re.compile("[\ud800-\udfff]")


def check_values(body: bytes) -> None:
    """Raises Unprocessable with a pointer to every value that cannot be stored. Bad JSON is left to the parser."""
    check_encoding(body)
    if not is_suspicious(body):
        return
    try:
        errors = list(unusable(json.loads(body)))
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except ValueError:
        return
    if errors:
        raise Unprocessable("some values cannot be stored", code="unsupported_value", errors=errors[:_MAX_LISTED])


def check_encoding(body: bytes) -> None:
    """Parsers would take UTF-16 too, in which nothing of what is looked for here can be seen. Raises Malformed."""
    if not json.detect_encoding(body).startswith("utf-8"):
        raise Malformed("JSON is sent as UTF-8")


def not_json(error: Exception) -> Malformed:
    """Says where, when the parser does."""
    where = (
        f": {error.msg} at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    )
    return Malformed(f"the body is not JSON{where}", code="malformed_json")


def is_suspicious(body: bytes) -> bool:
    return _SUSPICIOUS.search(body) is not None


def unusable(parsed: Any) -> Iterator[FieldError]:
    """Every value in it that cannot be stored, by pointer."""
    waiting: list[tuple[str, Any]] = [("", parsed)]
    # A stack of our own: a recursive walk would fail at the depths json.loads still takes.
    while waiting:
        pointer, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend((f"{pointer}/{escape(name)}", child) for name, child in value.items())
            if any(map(_unusable_text, value)):
                yield FieldError(pointer, "unsupported_character", "a name in it has a NUL or half a surrogate pair")
        elif isinstance(value, list):
            waiting.extend((f"{pointer}/{index}", child) for index, child in enumerate(value))
        else:
            yield from _unusable_scalar(pointer, value)


def _unusable_scalar(pointer: str, value: object) -> Iterator[FieldError]:
    if isinstance(value, str) and _unusable_text(value):
        yield FieldError(pointer, "unsupported_character", "the text has a NUL or half a surrogate pair")
    elif isinstance(value, float) and not math.isfinite(value):
        yield FieldError(pointer, "not_a_number", "NaN and infinity are no JSON numbers")


def _unusable_text(text: str) -> bool:
    return "\0" in text or _SURROGATES.search(text) is not None
