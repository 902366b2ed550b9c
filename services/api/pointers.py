"""Where in a body something is wrong: pydantic's locations as JSON pointers (RFC 6901)."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import FieldError
from shared.model_card import CardProblems

_NOTHING = object()
_WORDS = {
    **dict.fromkeys(("tuple_type", "list_type", "set_type"), "this should be an array"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "this should be an object"),
    "extra_forbidden": "there is no such field",
    "missing": "this field is required",
    "string_type": "this should be a string",
    "float_type": "this should be a number",
    "int_type": "this should be a whole number",
    "bool_type": "this should be true or false",
}


def escape(part: int | str) -> str:
    """One part of a pointer. Half a surrogate pair cannot be sent, so it is shown as a question mark."""
    return str(part).encode(errors="replace").decode().replace("~", "~0").replace("/", "~1")


def field_errors(errors: Sequence[Mapping[str, Any]], body: Any) -> list[FieldError]:
    """Pydantic's errors as ours; `body` is what was validated, and locations are relative to it."""
    found: list[FieldError] = []
    for error in errors:
        pointer = pointer_of(error["loc"], body, missing=error["type"] == "missing")
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, CardProblems):
            found += [FieldError(pointer + one.pointer, one.code, one.detail) for one in cause.errors]
        else:
            found.append(FieldError(pointer, error["type"], words(error)))
    # Where an item is wrong, pydantic counts the array as too short for the want of it.
    inner = {error.pointer.rpartition("/")[0] for error in found}
    return [error for error in found if error.code != "too_short" or error.pointer not in inner]


def words(error: Mapping[str, Any]) -> str:
    """What is wrong, in the words of JSON rather than Python's."""
    return _WORDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")


def pointer_of(location: Sequence[int | str], body: Any, *, missing: bool = False) -> str:
    """Pydantic also names the members of unions, which a body does not have: what is not there is left out.

    The last part of a location is not there either when the field is `missing`; it is what to point at all the same.
    """
    pointer, here = "", body
    for index, part in enumerate(location):
        child = _child(here, part)
        if child is not _NOTHING:
            here = child
        elif not (missing and index == len(location) - 1):
            continue
        pointer += f"/{escape(part)}"
    return pointer


def _child(parent: Any, part: int | str) -> Any:
    if isinstance(parent, dict):
        return parent.get(part, _NOTHING)
    if isinstance(parent, list) and isinstance(part, int) and part < len(parent):
        return parent[part]
    return _NOTHING
