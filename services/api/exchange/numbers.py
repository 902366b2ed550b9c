"""Numbers of a foreign document: what is none is refused where it stands, never guessed."""

import math
from collections.abc import Sequence
from typing import Any

from services.api.exchange.formats.base import Refused

_LARGEST = 2**53


def number(value: Any, pointer: str) -> float:
    """A finite one. Booleans are none, texts are."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise Refused("not_a_number", f"this should be a number, not {str(value)[:50]!r}", pointer)
    return found


def whole_number(value: Any, pointer: str) -> int:
    found = number(value, pointer)
    if found != int(found) or abs(found) > _LARGEST:
        raise Refused("not_a_whole_number", f"this should be a whole number, not {str(value)[:50]!r}", pointer)
    return int(found)


def numbers(value: Any, pointer: str) -> list[float]:
    return [number(one, f"{pointer}/{place}") for place, one in enumerate(array(value, pointer))]


def array(value: Any, pointer: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise Refused("not_a_list", "this should be an array", pointer)
    return value


def pairs(flat: Sequence[float], pointer: str) -> tuple[tuple[float, float], ...]:
    """x and y in turn."""
    if len(flat) % 2:
        raise Refused("odd_coordinates", "coordinates are x and y in turn, so there should be an even number", pointer)
    return tuple(zip(flat[0::2], flat[1::2], strict=True))


def confidence(value: Any, pointer: str) -> float | None:
    """None where the sender says nothing."""
    if value is None:
        return None
    found = number(value, pointer)
    if not 0 <= found <= 1:
        raise Refused("confidence_out_of_range", "a confidence lies between 0 and 1", pointer)
    return found
