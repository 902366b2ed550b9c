"""A first alignment by name: pure, and the same for the same catalog model and ontology."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.api.model_catalog.assignment import Assignment
from services.api.model_catalog.criteria import criterion_slots
from services.api.model_catalog.matches import SCORES, Alike, Fit, Match, nothing_alike
from services.api.model_catalog.slots import OntologySlots, Slot
from shared.answers import EntryAnswer
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema


@dataclass(frozen=True, slots=True)
class SuggestedEntry:
    model_class: str
    fit: Fit
    answers: tuple[EntryAnswer, ...]

    @property
    def slot(self) -> Slot:
        return self.fit.slot

    @property
    def reason(self) -> Match:
        return self.fit.reason

    @property
    def score(self) -> float:
        return self.fit.score


@dataclass(frozen=True, slots=True)
class SuggestedAlignment:
    """`uncovered` are places the model could fill but no class means them; `unfillable` those it never can."""

    entries: tuple[SuggestedEntry, ...]
    unmapped_classes: tuple[str, ...]
    uncovered: tuple[Slot, ...]
    unfillable: tuple[FeatureSchema, ...]

    @property
    def slots(self) -> int:
        """How many places the model could fill."""
        return len(self.uncovered) + len({entry.slot.place for entry in self.entries})


def suggest(card: ModelCard, features: Sequence[FeatureSchema], alike: Alike = nothing_alike) -> SuggestedAlignment:
    """`features` are the nodes of the present ontology, in any order."""
    ontology = OntologySlots(card, features)
    slots = ontology.fillable()
    fits = _in_own_words(slots) if card.open_ended else Assignment(card.classes, ontology, slots).fits(alike)
    entries = tuple(SuggestedEntry(name, fit, ontology.answers(fit.slot)) for name, fit in fits)
    mapped = {entry.model_class for entry in entries}
    covered = {entry.slot.place for entry in entries}
    fillable = {slot.feature.id for slot in slots}
    return SuggestedAlignment(
        entries=entries,
        unmapped_classes=tuple(name for name in card.classes if name not in mapped),
        uncovered=tuple(slot for slot in slots if slot.place not in covered),
        unfillable=tuple(one for one in features if one.is_top_level and one.id not in fillable),
    )


def _in_own_words(slots: Sequence[Slot]) -> list[tuple[str, Fit]]:
    return [(name, Fit(slot, "own_words", SCORES["own_words"])) for name, slot in criterion_slots(slots)]
