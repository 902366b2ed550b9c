"""What is wrong with one record, out of pydantic's errors."""

from pydantic import ValidationError

from services.api.exchange.formats.base import Refused
from services.api.pointers import words


def refused_by(error: ValidationError, pointer: str = "") -> Refused:
    """The first thing it says, about the record as a whole: values were put together from several fields of it."""
    first = error.errors(include_url=False, include_input=False)[0]
    return Refused("invalid_geometry", words(first)[:300], pointer)
