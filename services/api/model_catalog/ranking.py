"""How well a catalog model fits a project: pure, and the same for the same model and ontology."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.api.model_catalog.matches import SCORES, Alike, Match, nothing_alike
from services.api.model_catalog.suggest import SuggestedAlignment, SuggestedEntry, suggest
from shared.annotations import NO_LOSS, features_taking
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema

READY = "ready"
_CAN_FILL, _FIT, _COVERED = 0.2, 0.6, 0.2
_LOSSY = 0.85
"""What a place is worth that the model can only fill by losing something."""
_NAMED = 5
_BY: Mapping[Match, str] = {
    "exact_name": "the same name",
    "normalized_name": "the same name in another form",
    "synonym": "a synonym",
    "broader_name": "a broader name",
    "similar_name": "a name that is one slip away",
    "similar_meaning": "a name of about the same meaning",
    "reads_text": "being the only place for a text",
    "own_words": "criteria of your own",
}

Ranked = TypeVar("Ranked")


@dataclass(frozen=True, slots=True)
class Finding:
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A catalog model as the ranking sees it."""

    card: ModelCard
    state: str
    state_reason: str | None


@dataclass(frozen=True, slots=True)
class Needs:
    """A project as the ranking sees it; `features` are the nodes of its present ontology."""

    media_type: str
    features: Sequence[FeatureSchema]


@dataclass(frozen=True, slots=True)
class Compatibility:
    """`score` from 0 to 1: how little has to be set up. It says nothing of how good the model is.

    score = 0.2 + 0.6 x fit + 0.2 x ontology_coverage, and 0 for a model that fits nowhere. `fit` is the mean, over the
    places the model could fill (its tools, and the options of its radios and checklists), of the best suggested match
    there: its own score (1 for the exact name, down to 0 where a class must be aligned by hand), times 0.85 where the
    conversion loses something. Criteria that must be written count as a match of 0.5.

    `class_coverage` is the share of those places that a class means, `ontology_coverage` the mean over all top features
    of the share of them that is covered: a tool counts 1, a radio or checklist the share of its options.
    """

    score: float
    reasons: tuple[Finding, ...]
    blockers: tuple[Finding, ...]
    class_coverage: float
    ontology_coverage: float
    state: str


def compare(offer: Offer, needs: Needs, alike: Alike = nothing_alike) -> Compatibility:
    suggestion = suggest(offer.card, needs.features, alike)
    blockers = tuple(_blockers(offer, needs, suggestion))
    fits = offer.card.media_type == needs.media_type and suggestion.slots > 0
    covered = suggestion.slots - len(suggestion.uncovered)
    of_ontology = _ontology_coverage(suggestion, needs.features) if fits else 0.0
    return Compatibility(
        score=round(_CAN_FILL + _FIT * _fit(suggestion) + _COVERED * of_ontology, 4) if fits else 0.0,
        reasons=tuple(_reasons(offer.card, suggestion)) if fits else (),
        blockers=blockers,
        class_coverage=round(covered / suggestion.slots, 4) if fits else 0.0,
        ontology_coverage=round(of_ontology, 4),
        state=offer.state,
    )


def ranked(found: Iterable[tuple[Ranked, Offer, Compatibility]]) -> list[tuple[Ranked, Compatibility]]:
    """What can be used first, then by score; names decide between equals."""
    order = sorted(found, key=lambda one: (bool(one[2].blockers), -one[2].score, one[1].card.slug, one[1].card.version))
    return [(item, compatibility) for item, _, compatibility in order]


def _blockers(offer: Offer, needs: Needs, suggestion: SuggestedAlignment) -> Iterable[Finding]:
    card = offer.card
    if card.media_type != needs.media_type:
        yield Finding("media_type", f"the model works on {card.media_type} data, the project has {needs.media_type}")
    if not suggestion.slots:
        wanted = ", ".join(sorted(features_taking(card.annotation_kind)))
        yield Finding("no_feature", f"no feature of the ontology takes what the model gives; it fills: {wanted}")
    if offer.state != READY:
        yield Finding(
            "not_ready", f"the model is {offer.state}" + (f": {offer.state_reason}" if offer.state_reason else "")
        )


def _fit(suggestion: SuggestedAlignment) -> float:
    best: dict[object, float] = {}
    for entry in suggestion.entries:
        kept = 1.0 if entry.slot.way.loss == NO_LOSS else _LOSSY
        best[entry.slot.place] = max(entry.score * kept, best.get(entry.slot.place, 0.0))
    return sum(best.values()) / suggestion.slots


def _ontology_coverage(suggestion: SuggestedAlignment, features: Sequence[FeatureSchema]) -> float:
    top = [feature for feature in features if feature.is_top_level]
    places = Counter(feature.parent_id for feature in features if feature.node == "option")
    covered = Counter(feature for feature, _ in {entry.slot.place for entry in suggestion.entries})
    return sum(covered[feature.id] / max(1, places[feature.id]) for feature in top) / len(top)


def _reasons(card: ModelCard, suggestion: SuggestedAlignment) -> Iterable[Finding]:
    yield Finding("fills_features", f"the model can fill {suggestion.slots} of the ontology's features and options")
    if card.open_ended:
        yield Finding("needs_criteria", "its classes are criteria in plain words, which you write for each feature")
    elif suggestion.entries:
        yield from _matches(suggestion)
    for loss, names in sorted(_losses(suggestion).items()):
        yield Finding("conversion_loses", f"shown as {names}, what the model gives {loss}")
    if suggestion.uncovered:
        names = ", ".join(slot.name for slot in suggestion.uncovered[:_NAMED])
        yield Finding("names_missing", f"no class means {len(suggestion.uncovered)} of them, among them: {names}")
    if suggestion.unfillable:
        names = ", ".join(feature.name for feature in suggestion.unfillable[:_NAMED])
        yield Finding("never_filled", f"the model never fills: {names}")


def _matches(suggestion: SuggestedAlignment) -> Iterable[Finding]:
    """How many places have a class, by the best reason for each."""
    best: dict[object, SuggestedEntry] = {}
    for entry in sorted(suggestion.entries, key=lambda entry: -entry.score):
        best.setdefault(entry.slot.place, entry)
    for reason in SCORES:
        found = [entry for entry in best.values() if entry.reason == reason]
        if found:
            pairs = ", ".join(f"{entry.slot.title} ({entry.model_class})" for entry in found[:_NAMED])
            yield Finding(f"matched_{reason}", f"{len(found)} by {_BY[reason]}, among them: {pairs}")


def _losses(suggestion: SuggestedAlignment) -> dict[str, str]:
    """What conversions lose, with the types of features they are for."""
    types: dict[str, set[str]] = {}
    for slot in [entry.slot for entry in suggestion.entries] or suggestion.uncovered:
        if slot.way.loss != NO_LOSS:
            types.setdefault(slot.way.loss, set()).add(str(slot.feature.type))
    return {loss: " or ".join(sorted(names)) for loss, names in types.items()}
