"""Which class is suggested for which place.

A class takes the surest place of each group of places (all tools; the options of one classification). Names that are
the same, synonyms and broader names may bring many classes to one place. Where a name is only alike, a class and a
place that are still free are brought together one to one, the likest first.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from services.api.model_catalog.lexicon import broader_names, synonym_groups
from services.api.model_catalog.matches import BROADER_STEP, LEAST_BROADER, NESTED, SCORES, Alike, Fit, Match
from services.api.model_catalog.slips import initials, similarity
from services.api.model_catalog.slots import OntologySlots, Slot
from services.api.model_catalog.spelling import normalized


class Assignment:
    def __init__(self, classes: Sequence[str], ontology: OntologySlots, slots: Sequence[Slot]) -> None:
        self._classes = classes
        self._ontology = ontology
        self._slots = slots
        self._order = {id(slot): place for place, slot in enumerate(slots)}
        self._exact: defaultdict[str, list[Slot]] = defaultdict(list)
        self._alike: defaultdict[str, list[Slot]] = defaultdict(list)
        self._synonyms: defaultdict[int, list[Slot]] = defaultdict(list)
        for slot in slots:
            for one in (slot, *ontology.below(slot)):
                self._add(one)

    def fits(self, alike: Alike) -> list[tuple[str, Fit]]:
        """By class in its order, then by feature."""
        found: dict[str, dict[UUID | None, Fit]] = {name: self._surest(name) for name in self._classes}
        for name, fit in self._only_alike(found, alike):
            found[name][fit.slot.group] = fit
        self._read_text(found)
        return [(name, fit) for name in self._classes for fit in found[name].values()]

    def _add(self, slot: Slot) -> None:
        self._order.setdefault(id(slot), len(self._order))
        for name in slot.names:
            self._exact[name].append(slot)
        for key in {normalized(name) for name in slot.names} - {""}:  # a name of symbols alone is like no other
            self._alike[key].append(slot)
            for group in synonym_groups(key):
                self._synonyms[group].append(slot)

    def _surest(self, model_class: str) -> dict[UUID | None, Fit]:
        """The best fit of each group, by what names mean."""
        best: dict[UUID | None, Fit] = {}
        for fit in sorted(self._named(model_class), key=self._rank):
            best.setdefault(fit.slot.group, fit)
        return best

    def _rank(self, fit: Fit) -> tuple[float, int, int, int]:
        slot = fit.slot
        return (-fit.score, len(slot.path), slot.way.rank, self._order[id(slot)])

    def _named(self, model_class: str) -> Iterator[Fit]:
        for slot in self._exact.get(model_class, ()):
            yield _fit(slot, "exact_name")
        key = normalized(model_class)
        for slot in self._alike.get(key, ()):
            yield _fit(slot, "normalized_name")
        # Some models list all the words for a class: `tabby, tabby cat`.
        keys = [key, *(normalized(part) for part in model_class.split(", ") if ", " in model_class)]
        for part in keys[1:]:
            for slot in self._alike.get(part, ()):
                yield _fit(slot, "synonym")
        for one in keys:
            yield from self._by_meaning(one)

    def _by_meaning(self, key: str) -> Iterator[Fit]:
        for group in synonym_groups(key):
            for slot in self._synonyms[group]:
                yield _fit(slot, "synonym")
        for broader, steps in broader_names(key).items():
            for slot in self._alike.get(broader, ()):
                if not slot.path:
                    score = max(LEAST_BROADER, SCORES["broader_name"] - BROADER_STEP * (steps - 1))
                    yield Fit(slot, "broader_name", round(score, 4))

    def _only_alike(self, found: Mapping[str, Mapping[UUID | None, Fit]], alike: Alike) -> Iterator[tuple[str, Fit]]:
        """One to one among the classes and places that nothing surer brought together."""
        taken = {fit.slot.place for fits in found.values() for fit in fits.values()}
        groups: defaultdict[UUID | None, list[Slot]] = defaultdict(list)
        for slot in self._slots:
            if slot.place not in taken and normalized(slot.name):
                groups[slot.group].append(slot)
        for group, free in groups.items():
            classes = [name for name in self._classes if group not in found[name]]
            pairs = [*_misspelt(classes, free), *_of_one_meaning(classes, free, alike)]
            yield from _one_to_one(classes, pairs)

    def _read_text(self, found: dict[str, dict[UUID | None, Fit]]) -> None:
        """A model that reads has one class; where only one place takes what it reads, it is that place's."""
        readers = [slot for slot in self._slots if self._ontology.takes_text(slot)]
        if len(self._classes) == 1 and len(readers) == 1:
            fits = found[self._classes[0]]
            if not fits:
                fits[readers[0].group] = _fit(readers[0], "reads_text")


_Pair = tuple[int, Fit]


def _fit(slot: Slot, reason: Match) -> Fit:
    return Fit(slot, reason, round(SCORES[reason] * (NESTED if slot.path else 1), 4))


def _misspelt(classes: Sequence[str], free: Sequence[Slot]) -> Iterator[_Pair]:
    beginning: defaultdict[str, list[Slot]] = defaultdict(list)
    for slot in free:
        beginning[initials(slot.name)].append(slot)
    for place, name in enumerate(classes):
        for slot in beginning.get(initials(name), ()):
            likeness = similarity(name, slot.name)
            if likeness is not None:
                yield place, Fit(slot, "similar_name", round(SCORES["similar_name"] * likeness, 4))


def _of_one_meaning(classes: Sequence[str], free: Sequence[Slot], alike: Alike) -> Iterator[_Pair]:
    for place, number, score in alike(classes, [slot.name for slot in free]):
        yield place, Fit(free[number], "similar_meaning", score)


def _one_to_one(classes: Sequence[str], pairs: Sequence[_Pair]) -> Iterator[tuple[str, Fit]]:
    """The likest first; the order of the model and of the ontology decides between equals."""
    used_classes: set[int] = set()
    used_places: set[tuple[UUID | None, UUID | None]] = set()
    for place, fit in sorted(pairs, key=lambda pair: -pair[1].score):
        if place not in used_classes and fit.slot.place not in used_places:
            used_classes.add(place)
            used_places.add(fit.slot.place)
            yield classes[place], fit
