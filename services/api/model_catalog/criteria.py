"""Criteria to start from, for a model that looks for what the user describes: pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from services.api.model_catalog.slots import Slot

MOST_CRITERIA = 1000
_LONGEST_NAME, _LONGEST_TEXT = 500, 2000
_LONGEST_INSTRUCTIONS = 200
"""Longer ones say how to answer rather than what is asked, and drown the option."""
_WITHOUT_INSTRUCTIONS = {"text": "This text is about {}.", "image": "This picture shows {}."}


def criterion_slots(slots: Sequence[Slot]) -> list[tuple[str, Slot]]:
    """A criterion's name for every place. Those of one name, as yes and no, mean something else in each feature."""
    alike = Counter(slot.name.casefold() for slot in slots)
    found: dict[str, tuple[str, Slot]] = {}
    for slot in slots:
        above = slot.option is not None and alike[slot.name.casefold()] > 1
        name = (f"{slot.feature.name}: {slot.name}" if above else slot.name)[:_LONGEST_NAME]
        found.setdefault(name.casefold(), (name, slot))
    return list(found.values())[:MOST_CRITERIA]


def criterion_texts(
    media_type: str, named: Iterable[tuple[str, Slot]], instructions: Mapping[UUID, str]
) -> dict[str, str]:
    """By the criteria's names. `instructions` are those of classifications that have some, by their ids."""
    texts = {}
    for name, slot in named:
        asked = instructions.get(slot.feature.id, "") if slot.feature.id else ""
        known = 0 < len(asked) <= _LONGEST_INSTRUCTIONS
        text = f"{asked} {slot.name}" if known else _WITHOUT_INSTRUCTIONS[media_type].format(slot.name)
        texts[name] = text[:_LONGEST_TEXT]
    return texts
