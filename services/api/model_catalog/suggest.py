"""A first alignment by name: pure, and the same for the same catalog model and ontology."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from shared.annotations import TOOL_TYPES, FeatureType, features_taking
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema

Match = Literal["exact_name", "normalized_name"]
SCORES: dict[Match, float] = {"exact_name": 1.0, "normalized_name": 0.9}

_SEPARATORS = re.compile(r"[\W_]+")
_NO_PLURAL = ("ss", "us")
_SIBILANT_E = ("se", "xe", "ze", "che", "she")
_SHORTEST_PLURAL = 4


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the ontology that a model class can mean: a tool, or an option of a radio or checklist."""

    feature: FeatureSchema
    option: FeatureSchema | None

    @property
    def name(self) -> str:
        return (self.option or self.feature).name


@dataclass(frozen=True, slots=True)
class SuggestedEntry:
    model_class: str
    slot: Slot
    reason: Match

    @property
    def score(self) -> float:
        return SCORES[self.reason]


@dataclass(frozen=True, slots=True)
class SuggestedAlignment:
    """`uncovered` are places the model could fill but no class has their name; `unfillable` those it never can."""

    entries: tuple[SuggestedEntry, ...]
    unmapped_classes: tuple[str, ...]
    uncovered: tuple[Slot, ...]
    unfillable: tuple[FeatureSchema, ...]

    @property
    def slots(self) -> int:
        """How many places the model could fill."""
        return len(self.uncovered) + len({id(entry.slot) for entry in self.entries})


def suggest(card: ModelCard, features: Sequence[FeatureSchema]) -> SuggestedAlignment:
    """`features` are the nodes of the present ontology, in any order."""
    slots = fillable_slots(card, features)
    entries = _entries(card.classes, slots)
    mapped = {entry.model_class for entry in entries}
    covered = {id(entry.slot) for entry in entries}
    fillable = {id(slot.feature) for slot in slots}
    return SuggestedAlignment(
        entries=tuple(entries),
        unmapped_classes=tuple(name for name in card.classes if name not in mapped),
        uncovered=tuple(slot for slot in slots if id(slot) not in covered),
        unfillable=tuple(f for f in features if f.is_top_level and id(f) not in fillable),
    )


def fillable_slots(card: ModelCard, features: Sequence[FeatureSchema]) -> list[Slot]:
    """Only top features: what is nested is answered per object or per answer, which no class name can mean."""
    takes = features_taking(card.annotation_kind)
    options: dict[UUID | None, list[FeatureSchema]] = defaultdict(list)
    for feature in features:
        if feature.node == "option":
            options[feature.parent_id].append(feature)
    found = []
    for feature in features:
        if feature.is_top_level and feature.type in takes:
            found += _slots_of(feature, options[feature.id])
    return found


def normalized(name: str) -> str:
    """Without case, separators and a simple plural: `Traffic-Lights` and `traffic light` are the same."""
    words = [word for word in _SEPARATORS.split(unicodedata.normalize("NFKC", name).casefold()) if word]
    return "".join([*words[:-1], _singular(words[-1])]) if words else ""


def _slots_of(feature: FeatureSchema, options: Sequence[FeatureSchema]) -> list[Slot]:
    if feature.type in TOOL_TYPES or feature.type is FeatureType.FREE_TEXT:
        return [Slot(feature, None)]
    return [Slot(feature, option) for option in options]


def _entries(classes: Sequence[str], slots: Sequence[Slot]) -> list[SuggestedEntry]:
    exact, alike = _by_name(slots)
    entries: list[SuggestedEntry] = []
    for model_class in classes:
        # One class means one thing of a feature, so the best match for each feature is taken.
        best: dict[int, SuggestedEntry] = {}
        for slot in exact.get(model_class, ()):
            best.setdefault(id(slot.feature), SuggestedEntry(model_class, slot, "exact_name"))
        for slot in alike.get(normalized(model_class), ()):
            best.setdefault(id(slot.feature), SuggestedEntry(model_class, slot, "normalized_name"))
        entries += best.values()
    return entries


def _by_name(slots: Sequence[Slot]) -> tuple[Mapping[str, Sequence[Slot]], Mapping[str, Sequence[Slot]]]:
    exact, alike = defaultdict(list), defaultdict(list)
    for slot in slots:
        exact[slot.name].append(slot)
        alike[normalized(slot.name)].append(slot)
    alike.pop("", None)  # a name of symbols alone is like no other
    return exact, alike


def _singular(word: str) -> str:
    """Bus and buses, horse and horses, puppy and puppies, tie and ties each come to the same; not always a word."""
    if len(word) >= _SHORTEST_PLURAL and not word.endswith(_NO_PLURAL):
        word = word.removesuffix("s")
    if word.endswith("ie"):
        return word[:-2] + "y"
    return word[:-1] if word.endswith(_SIBILANT_E) else word
