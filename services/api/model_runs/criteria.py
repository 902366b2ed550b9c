"""The words of a run's model: the classes of its card, or the criteria that the user wrote for it."""

from collections.abc import Mapping, Set

from services.api.pointers import escape
from shared.errors import Problems
from shared.model_card import ModelCard


def check_criteria(criteria: Mapping[str, str], card: ModelCard, problems: Problems) -> Set[str]:
    """What an alignment may name as a model class."""
    if not card.open_ended:
        if criteria:
            detail = "the model knows a fixed list of classes and no other words"
            problems.add("/criteria", "criteria_not_supported", detail)
        return frozenset(card.classes)
    if not criteria and not card.classes:
        detail = "the model has no classes of its own: say in plain words what it shall look for"
        problems.add("/criteria", "criteria_missing", detail)
    _check_each(criteria, problems)
    return frozenset(criteria or card.classes)


def _check_each(criteria: Mapping[str, str], problems: Problems) -> None:
    seen: set[str] = set()
    for name, text in criteria.items():
        pointer = f"/criteria/{escape(name)}"
        if name.casefold() in seen:
            problems.add(pointer, "duplicate_criterion", "another criterion has the same name but for its case")
        seen.add(name.casefold())
        if not text.strip():
            problems.add(pointer, "blank_criterion", "a criterion needs words")
