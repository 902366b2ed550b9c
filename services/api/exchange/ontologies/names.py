"""Names that siblings may have: unique, and none of them empty."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.api.exchange.formats.base import UnusableUpload
from shared.answers import option_key

_LONGEST = 200


@dataclass(slots=True)
class Names:
    """What one parent has under it."""

    taken: set[str] = field(default_factory=set)

    def take(self, name: Any, what: str) -> str:
        """Raises UnusableUpload."""
        if not isinstance(name, str | int) or isinstance(name, bool) or not str(name).strip():
            raise UnusableUpload("name_missing", f"{what} has no name")
        text = str(name)
        if len(text) > _LONGEST:
            raise UnusableUpload("name_too_long", f"{what} has a name of more than {_LONGEST} characters")
        if option_key(text) in self.taken:
            raise UnusableUpload("duplicate_name", f"{what} has the name {text[:100]!r}, which another has beside it")
        self.taken.add(option_key(text))
        return text


def objects(found: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of JSON objects. Raises UnusableUpload."""
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnusableUpload("invalid_ontology", f"{what} should be an array of objects")
    return found


def options_of(values: Iterable[Any], what: str) -> list[dict[str, Any]]:
    """Options with these names, empty ones left out."""
    names = Names()
    return [{"name": names.take(value, f"an option of {what}")} for value in values if str(value).strip()]
